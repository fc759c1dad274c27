#!/bin/sh
# Runs the CPU kernels under the address and undefined-behaviour sanitizers, then under the thread sanitizer, on the
# extension's own threads. Takes minutes, most of them compiling. Usage: csrc/sanitize.sh [build folder].
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../build/sanitize}
cxx=${CXX:-c++}
mkdir -p "$out"
case $(uname -m) in
  x86_64 | amd64) x86=1 ;;
  *) x86= ;;
esac
for kind in address,undefined thread; do
  flags="-std=c++17 -O1 -g -fno-omit-frame-pointer -fno-math-errno -fsanitize=$kind -fno-sanitize-recover=all ${x86:+-DEPURE_X86=1}"
  objects=
  for source in cpu/pool cpu/masks cpu/kernels_base ${x86:+cpu/kernels_avx2} stress; do
    object=$out/$(basename $source).$(echo $kind | tr , -).o
    isa=
    [ "$source" = cpu/kernels_avx2 ] && isa="-mavx2 -mfma"
    $cxx $flags $isa -c "$here/$source.cpp" -o "$object" &
    objects="$objects $object"
  done
  wait
  $cxx $flags $objects -pthread -o "$out/stress"
  echo "sanitize: $kind"
  "$out/stress"
done
