#!/bin/sh
# Compile this bundle's model.c and run its example: PASS or FAIL. Needs a C99 compiler ($CC, else cc), nothing else.
#     sh run_c.sh                 the example
#     sh run_c.sh FRAMES [STEPS]  your own frames, see main.c
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
${CC:-cc} -std=c99 -pedantic -O2 -Wall -Wextra -Werror -I"$here" "$here/main.c" "$here/model.c" -o "$work/model"
if [ $# -eq 0 ]; then
    cd "$here"
fi
"$work/model" "$@"
