#!/bin/sh
# Compile this bundle's model.c and run its example: PASS or FAIL. Needs a C99 compiler ($CC, else cc), nothing else.
#     sh run_c.sh                 the example
#     sh run_c.sh FRAMES [STEPS]  your own frames, see main.c
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# the early exit of the bundle, if it has one
flags=
if [ -f "$here/manifest.json" ]; then
    number='\([0-9.e+-]*\),\{0,1\}$'
    flags=$(sed -n "/^  \"exit\": {/,/^  }/{
s/^    \"at\": $number/-DEXIT_AT=\1/p
s/^    \"scale\": $number/-DEXIT_SCALE=\1/p
}" "$here/manifest.json")
fi
# shellcheck disable=SC2086
${CC:-cc} $flags -std=c99 -pedantic -O2 -Wall -Wextra -Werror -I"$here" "$here/main.c" "$here/model.c" -o "$work/model" -lm
if [ $# -eq 0 ]; then
    cd "$here"
fi
"$work/model" "$@"
