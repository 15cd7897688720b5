# SPDX-License-Identifier: Apache-2.0
"""The handwritten digits: 1797 images of 8 x 8 pixels (UCI, Alpaydin and Kaynak, 1998), as Debian's python3-sklearn ships them."""
import gzip

import numpy as np


def load(held_out=450, seed=1, path="/lab/digits.csv.gz"):
    """Images as rows of 64 numbers in 0..1 and their labels: to learn from, and held out."""
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",")
    np.random.default_rng(seed).shuffle(table)
    images, labels = table[:, :64] / 16.0, table[:, 64].astype(int)
    return images[held_out:], labels[held_out:], images[:held_out], labels[:held_out]
