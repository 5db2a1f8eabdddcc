#!/bin/sh
# Prints the path of the Python that everything runs on: 3.13 or 3.12, both of which Lambda has.
# A pyenv shim can be in the path without a Python behind it, so each candidate is run. The Pythons that
# pyenv and uv installed are tried by their own paths.

check='import sys, venv, ensurepip, ssl; sys.exit(sys.version_info[:2] not in ((3, 12), (3, 13)))'
pyenv="${PYENV_ROOT:-$HOME/.pyenv}/versions"
uv="${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/uv/python}"

for candidate in ${ORDINAL_PYTHON:-} python3.13 python3.12 python3 python \
    "$pyenv"/3.13*/bin/python3 "$uv"/cpython-3.13*/bin/python3 \
    "$pyenv"/3.12*/bin/python3 "$uv"/cpython-3.12*/bin/python3; do
    if python=$(command -v "$candidate" 2>/dev/null) && "$python" -c "$check" 2>/dev/null; then
        # The interpreter itself: a shim can choose another Python in another folder.
        "$python" -c 'import sys; print(sys.executable)'
        exit 0
    fi
done

cat >&2 <<'MESSAGE'
Ordinal needs Python 3.12 or 3.13 with the venv module. None was found in the path,
and none that pyenv or uv installed.

Without root, on any Linux: get uv in one of these ways, and let it install a Python.

  python3 -m venv ~/.uv && ~/.uv/bin/pip install uv && ~/.uv/bin/uv python install 3.13
  curl -LsSf https://astral.sh/uv/install.sh | sh && ~/.local/bin/uv python install 3.13

With root:

  Debian 13:     apt install python3.13 python3.13-venv
  Ubuntu 24.04:  apt install python3.12 python3.12-venv
  Fedora:        dnf install python3.13

For a Python in another place: ORDINAL_PYTHON=/path/to/python3.13 make run
MESSAGE
exit 1
