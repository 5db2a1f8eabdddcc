#!/bin/sh
# Prints the Python that everything is built with: 3.13 or 3.12, with venv. Lambda has both.
# A pyenv shim may stand in the path and not answer, so each candidate has to prove itself, and
# what pyenv has installed is looked at directly.

check='import sys, venv, ensurepip, ssl; sys.exit(sys.version_info[:2] not in ((3, 12), (3, 13)))'
versions="${PYENV_ROOT:-$HOME/.pyenv}/versions"

for candidate in ${ORDINAL_PYTHON:-} python3.13 python3.12 python3 python \
    "$versions"/3.13*/bin/python3 "$versions"/3.12*/bin/python3; do
    if found=$(command -v "$candidate" 2>/dev/null) && "$found" -c "$check" 2>/dev/null; then
        # The interpreter itself, not a shim: a shim may answer differently in another folder.
        "$found" -c 'import sys; print(sys.executable)'
        exit 0
    fi
done

cat >&2 <<'MESSAGE'
Ordinal needs Python 3.12 or 3.13 with the venv module, and none was found
(looked for python3.13, python3.12, python3, and what pyenv has installed).

  Debian, Ubuntu:  apt install python3.13 python3.13-venv   (or python3.12 python3.12-venv)
  Fedora:          dnf install python3.13
  pyenv:           pyenv install 3.13

If it lies somewhere else: ORDINAL_PYTHON=/path/to/python3.13 make run
MESSAGE
exit 1
