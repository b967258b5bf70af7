#!/usr/bin/env bash
# Builds mxgate and healthcheck as static PIE programs with musl; the Makefile and the Dockerfile both use this.
#
#   tools/build-static.sh         build/static/mxgate and healthcheck (in build/static/ARCH/ for a foreign TARGET)
#   tools/build-static.sh deps    musl and the libraries only: a layer of its own in a container build
#   tools/build-static.sh unit    and the unit tests, with cmocka, to be run where the programs are to run
#   TARGET=arm64|amd64            for that machine instead of this one
#
# musl and the library sources are Debian trixie's, whatever the host runs (musl before 1.2.4 cannot ask DNS
# over TCP). tools/sources.sha256 names each file and its sum; they come from the pool of this machine's own Debian
# archive, so its mirror is used, /etc/apt stays as it is, and a point release changes nothing until the pins do.
# They are built once, in build/static/deps.
set -euo pipefail
cd "$(dirname "$0")/.."
unset MAKEFLAGS MFLAGS # the calling make's job server is not ours

host=$(dpkg --print-architecture)
target=${TARGET:-$host}
case $target in
amd64) machine=x86_64-linux ;;
arm64) machine=aarch64-linux ;;
*) echo "build-static: TARGET must be amd64 or arm64, not '$target'" >&2; exit 64 ;;
esac
gnu=$machine-gnu # Debian's name for the tools: x86_64-linux-gnu-gcc

top=$PWD/build/static
out=$top
[ "$target" = "$host" ] || out=$top/$target
src=$top/src           # downloads, for every target
deps=$top/deps/$target # include/, lib/, musl/, mcc
pins=$PWD/tools/sources.sha256

# --- fetch ----------------------------------------------------------------------------------------

# The Debian archives among this machine's apt sources (both formats), one URI a line: those that carry main of
# the release this machine runs. Other people's repositories need not know our files.
archives() {
    local code
    # shellcheck source=/dev/null
    code=$(. /etc/os-release && echo "$VERSION_CODENAME")
    { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true; } | awk -v code="$code" '
        $1 == "deb" {
            sub(/\[[^]]*\]/, "")
            if ($3 == code && ($0 " ") ~ " main ")
                print $2
        }'
    # shellcheck disable=SC2016 # the awk program's own $0
    for file in /etc/apt/sources.list.d/*.sources; do
        [ ! -e "$file" ] || { cat "$file" && echo; }
    done | awk -v RS= -v code="$code" '
        function field(name,   n, lines, i) {
            n = split($0, lines, "\n")
            for (i = 1; i <= n; i++)
                if (sub("^" name ":[ \t]*", "", lines[i]))
                    return lines[i]
            return ""
        }
        (" " field("Suites") " ") ~ " " code " " && (" " field("Components") " ") ~ " main " {
            n = split(field("URIs"), uri, " ")
            for (i = 1; i <= n; i++)
                print uri[i]
        }'
}

# What this target needs: everything but the other machine's musl and, unless with_tests is set, the tests' library.
with_tests=
wanted() {
    awk -v other="_$([ "$target" = amd64 ] && echo arm64 || echo amd64).deb" -v with_tests="$with_tests" '
        index($2, other) == 0 && (with_tests || index($2, "/cmocka_") == 0)' "$pins"
}
verified() { wanted | (cd "$src" && sha256sum --check --quiet --strict); }

# fetch_file SUM PATH: from the first archive that has it; apt's own downloader refuses another sum.
fetch_file() {
    local uri
    mkdir -p "$src/${2%/*}"
    while read -r uri; do
        if /usr/lib/apt/apt-helper -qq -o APT::Sandbox::User=root -o Acquire::Retries=3 \
            download-file "${uri%/}/$2" "$src/$2" "SHA256:$1"; then
            return 0
        fi
    done <"$src/archives"
    echo "build-static: no Debian archive of this machine has $2. If Debian replaced it: read its change, then" \
        "write the new name and sum into tools/sources.sha256" >&2
    return 1
}

fetch() {
    local sum path
    mkdir -p "$src"
    archives | sort -u >"$src/archives"
    [ -s "$src/archives" ] || {
        echo "build-static: no Debian archive among this machine's apt sources" >&2
        return 1
    }
    # Another descriptor than the downloader's standard input.
    while read -r sum path <&3; do
        if ! echo "$sum  $src/$path" | sha256sum --check --status 2>/dev/null; then
            fetch_file "$sum" "$path"
        fi
    done 3< <(wanted)
    verified
}

# --- libraries ------------------------------------------------------------------------------------

pinned() { wanted | awk -v name="/$1" 'index($2, name) { print $2 }'; } # pinned NAME: the path with that name

unpack() { # unpack PACKAGE: the tarball of that name into $work/PACKAGE
    mkdir -p "$work/$1"
    tar -xf "$src/$(pinned "$1"_)" -C "$work/$1" --strip-components=1
}

# mcc: Debian's gcc with musl's specs, paths rewritten to our copy, making static PIEs unless told otherwise.
# (The specs know -static-pie since musl 1.2.5; with older ones it makes a program that asks for a loader.)
make_compiler() {
    local specs=$deps/musl-gcc.specs dirs="/usr/(lib|include)/$machine-musl"
    dpkg-deb -x "$src/$(pinned musl-dev_)" "$deps/musl"
    sed -E "s#$dirs#$deps/musl&#g" "$deps/musl/usr/lib/$machine-musl/musl-gcc.specs" >"$specs"

    # Kernel headers, and these only: with all of /usr/include behind musl's, glibc's would fill musl's gaps.
    mkdir -p "$deps/kernel"
    if [ "$target" = "$host" ]; then
        ln -s /usr/include/linux /usr/include/asm-generic "/usr/include/$gnu/asm" "$deps/kernel/"
    else
        ln -s "/usr/$gnu/include/linux" "/usr/$gnu/include/asm-generic" "/usr/$gnu/include/asm" "$deps/kernel/"
    fi
    # LLVM's linker: binutils' packs no relocations for arm64. gcc finds it by this name beside a cross compiler too.
    mkdir -p "$deps/bin"
    ln -s "$(command -v ld.lld)" "$deps/bin/ld.lld"
    # Same bytes from every folder: no path of this one goes into the program.
    printf '#!/bin/sh\nexec %s-gcc -B "%s" -fuse-ld=lld -static-pie -fPIE -ffile-prefix-map="%s"= "$@" -specs "%s" -idirafter "%s"\n' \
        "$gnu" "$deps/bin/" "$PWD/" "$specs" "$deps/kernel" >"$deps/mcc"
    chmod +x "$deps/mcc"
}

# Nothing here unwinds a stack: without the tables for it the program is an eighth smaller. Speed matters in BearSSL.
common='-ffunction-sections -fdata-sections -fno-unwind-tables -fno-asynchronous-unwind-tables'
flags="-Os $common"

with_cmake() { # with_cmake PACKAGE OPTION...: unpacks, builds and installs it
    local package=$1
    shift
    unpack "$package"
    cmake -S "$work/$package" -B "$work/$package-b" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_BUILD_TYPE=None \
        "-DCMAKE_C_COMPILER=$deps/mcc" "-DCMAKE_C_FLAGS=$flags" \
        "-DCMAKE_AR=$(command -v $gnu-ar)" "-DCMAKE_RANLIB=$(command -v $gnu-ranlib)" \
        "-DCMAKE_INSTALL_PREFIX=$deps" -DCMAKE_INSTALL_LIBDIR=lib "$@"
    cmake --build "$work/$package-b" -j"$(nproc)"
    cmake --install "$work/$package-b"
}

build_libraries() {
    local jobs cc=$deps/mcc
    jobs=$(nproc)
    with_cmake libuv1 -DLIBUV_BUILD_SHARED=OFF -DBUILD_TESTING=OFF
    with_cmake c-ares -DCARES_STATIC=ON -DCARES_SHARED=OFF -DCARES_BUILD_TOOLS=OFF -DCARES_BUILD_TESTS=OFF -DCARES_THREADS=OFF

    unpack bearssl # only `lib`: the rest wants a shared library
    make -C "$work/bearssl" -j"$jobs" CC="$cc" LD="$cc" AR=$gnu-ar CFLAGS="-W -Wall -O2 $common" lib
    cp "$work"/bearssl/build/libbearssl.a "$deps/lib/"
    cp "$work"/bearssl/inc/*.h "$deps/include/"

    unpack libinih # default options, as in Debian's library: some of them change the interface
    # shellcheck disable=SC2086 # several flags
    "$cc" $flags -c "$work/libinih/ini.c" -o "$work/ini.o"
    $gnu-ar rcs "$deps/lib/libinih.a" "$work/ini.o"
    cp "$work/libinih/ini.h" "$deps/include/"

    cp /usr/include/uthash.h /usr/include/utlist.h "$deps/include/" # headers only, the same for every machine
}

stamp=$({ cat tools/build-static.sh && wanted; } | sha256sum)
if [ "$(cat "$deps/stamp" 2>/dev/null)" != "$stamp" ]; then
    echo "build-static: building musl and libraries for $target (log: $deps.log)"
    rm -rf "$deps"
    mkdir -p "$deps"
    verified >/dev/null 2>&1 || fetch
    work=$deps/work # a fixed name: __FILE__ of the libraries' assertions ends up in the program
    mkdir "$work"
    trap 'rm -rf "$work"; [ -e "$deps/stamp" ] || tail -n 30 "$deps.log" >&2' EXIT
    make_compiler >"$deps.log" 2>&1
    build_libraries >>"$deps.log" 2>&1
    echo "$stamp" >"$deps/stamp"
fi
[ "${1:-}" != deps ] || exit 0

# --- unit tests -----------------------------------------------------------------------------------

# The Makefile, for this target; build/static or the folder of a foreign one.
make_target() { make --no-print-directory BUILD="${out#"$PWD/"}" DEPS="$deps" CC="$deps/mcc" CROSS="$gnu-" "$@"; }

if [ "${1:-}" = unit ]; then
    with_tests=yes
    if [ ! -e "$deps/lib/libcmocka.a" ]; then # $deps is made anew when this script or a pin changes
        verified >/dev/null 2>&1 || fetch
        work=$deps/work
        mkdir -p "$work"
        trap 'rm -rf "$work"; [ -e "$deps/lib/libcmocka.a" ] || tail -n 30 "$deps.log" >&2' EXIT
        with_cmake cmocka -DBUILD_SHARED_LIBS=OFF -DWITH_EXAMPLES=OFF >>"$deps.log" 2>&1
    fi
    make_target CPPFLAGS=-D_UINTPTR_T_DEFINED unit-programs # musl's stdint.h does not tell cmocka.h
    exit 0
fi

# --- programs -------------------------------------------------------------------------------------

make_target programs
for program in "$out/mxgate" "$out/healthcheck"; do
    # What the container has to rely on: no loader, no shared library, and position independent all the same.
    headers=$("$gnu-readelf" -hld "$program")
    if ! grep -q 'Type: *DYN' <<<"$headers" || grep -qE 'INTERP|\(NEEDED\)' <<<"$headers"; then
        echo "build-static: $program is not a static PIE" >&2
        exit 1
    fi
    stat --format "%n: %s bytes" "$program"
done
