# SPDX-License-Identifier: Apache-2.0
"""Trains a small network on handwritten digits and says how well it reads digits that it has never seen."""
import json
import os
import time

import numpy as np

import digits

HIDDEN, BATCH, RATE, MOMENTUM = 64, 32, 0.1, 0.9


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


class Network:
    """One hidden layer of rectified units, ten outputs."""

    def __init__(self, rng):
        self.parts = [rng.normal(0, np.sqrt(2 / 64), (64, HIDDEN)), np.zeros(HIDDEN),
                      rng.normal(0, np.sqrt(2 / HIDDEN), (HIDDEN, 10)), np.zeros(10)]
        self.speed = [np.zeros_like(part) for part in self.parts]

    def hidden(self, images):
        return np.maximum(images @ self.parts[0] + self.parts[1], 0)

    def read(self, images):
        return softmax(self.hidden(images) @ self.parts[2] + self.parts[3])

    def learn(self, images, labels):
        """One step of gradient descent with momentum on the cross-entropy; returns the loss before it."""
        hidden, answer = self.hidden(images), self.read(images)
        loss = -np.log(answer[np.arange(len(labels)), labels] + 1e-12).mean()
        error = answer.copy()
        error[np.arange(len(labels)), labels] -= 1
        error /= len(labels)
        back = (error @ self.parts[2].T) * (hidden > 0)
        for i, slope in enumerate([images.T @ back, back.sum(0), hidden.T @ error, error.sum(0)]):
            self.speed[i] = MOMENTUM * self.speed[i] - RATE * slope
            self.parts[i] += self.speed[i]
        return loss

    def accuracy(self, images, labels):
        return float((self.read(images).argmax(1) == labels).mean())


def main():
    epochs, seed, out = int(os.environ.get("EPOCHS", "60")), int(os.environ.get("SEED", "1")), os.environ.get("OUT", "/out")
    images, labels, unseen, unseen_labels = digits.load(seed=seed)
    rng = np.random.default_rng(seed)
    network, started = Network(rng), time.monotonic()
    print(f"{len(images)} digits to learn from, {len(unseen)} held out, {epochs} epochs", flush=True)
    for epoch in range(1, epochs + 1):
        order = rng.permutation(len(images))
        loss = np.mean([network.learn(images[order[i:i + BATCH]], labels[order[i:i + BATCH]]) for i in range(0, len(order), BATCH)])
        if epoch % 10 == 0 or epoch == 1:
            print(f"epoch {epoch}: loss {loss:.4f}", flush=True)
    result = {"accuracy": round(network.accuracy(unseen, unseen_labels), 4), "held_out": len(unseen), "epochs": epochs, "seconds": round(time.monotonic() - started, 2)}
    np.savez(os.path.join(out, "model.npz"), *network.parts)
    with open(os.path.join(out, "result.json"), "w", encoding="utf-8") as file:
        json.dump(result, file)
    print(f"accuracy on held-out digits: {result['accuracy']:.4f}", flush=True)
    if result["accuracy"] < 0.9:
        raise SystemExit("worse than 0.9: something is wrong")


main()
