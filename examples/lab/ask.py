# SPDX-License-Identifier: Apache-2.0
"""Asks a page: ask.py HOST:PORT/PATH. Says why when nothing comes back."""
import sys
import urllib.request

try:
    with urllib.request.urlopen("http://" + sys.argv[1], timeout=3) as page:
        print(page.read().decode(), end="")
except OSError as error:
    sys.exit(f"{sys.argv[1]}: {getattr(error, 'reason', error)}")
