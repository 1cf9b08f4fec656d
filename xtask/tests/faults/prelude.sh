# SPDX-License-Identifier: MIT OR Apache-2.0
# What the rows have at hand. The current folder is a row's own, with a copy of the stored run.
shopt -s nullglob
T=$PWD
R=$T/results
CONFIGS=$T/configs
ONE=open-unkillable.v2.baseline.mainline
GOOD=open-unkillable.v2.overcharge.overcharge
RUN=$(readlink -f "$R/latest")
CELL=$RUN/cells/$GOOD/attempt-1
CON=$CELL/console.log EVENTS=$CELL/events.jsonl ENDING=$CELL/ending.json
PARTS=$R/parts
CACHE=${MEMCG_HARNESS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/memcg-harness}
test -d configs || cp -r "$WORKSPACE/configs" "$CONFIGS"

# The harness, on the row's own configs and results.
x() { "$XTASK" "$@" --configs "$CONFIGS" --results "$R" --cache "$CACHE"; }
run() { x run-matrix --accel tcg --filter "${1:-$ONE}"; }
# Judges what was damaged; `judge` as if the run had left it so, with a seal that fits.
damaged() { x report; }
judge() { reseal; x report; }
reseal() {
	local name
	for name in $(jq -r '.files | keys[]' "$CELL/seal.json" 2>/dev/null); do
		test -f "$CELL/$name" || continue
		SUM=$(sha256sum "$CELL/$name" | cut -d ' ' -f 1) \
			json "$CELL/seal.json" --arg name "$name" '.files[$name] = env.SUM'
	done
}

# A run without its cell $ONE, and totals that fit.
shorten() {
	rm -r "$1/cells/$ONE"
	json "$1/result.json" --arg cell "$ONE" '.cells |= map(select(.cell.id != $cell)) |
		.comparisons = [] | (.cells | length) as $left |
		.totals += {planned: $left, ran: $left, as_expected: $left, regressed: 0} |
		.totals.verdicts = ([.cells[].first.judgement.verdict] | group_by(.) |
		map({(.[0]): length}) | add)'
}

# A file edited with Perl, as one string; with jq; by a filter.
edit() { perl -0777 -pi -e "${*:2}" "$1"; }
json() { jq "${@:2}" "$1" >json.tmp && cat json.tmp >"$1"; }
lines() { "${@:2}" <"$1" >lines.tmp; cat lines.tmp >"$1"; }
renumber() { perl -pi -e 's{"seq":\d+}{"seq":@{[$. - 1]}}' "$EVENTS"; }
# A record on the console, just before the power-off: of the kernel, or as it is.
line() { raw "<4>[    9.000000] $*"; }
raw() {
	TEXT=$* edit "$CON" 'my $at = rindex($_, "\n", rindex($_, "reboot: Power down"));
		substr($_, $at + 1, 0) = "$ENV{TEXT}\n"'
}

# A program in place of another, first in PATH.
fake() {
	mkdir -p bin
	printf '#!/bin/bash\n%s\n' "$2" >"bin/$1"
	chmod +x "bin/$1"
	PATH=$T/bin:$PATH
}
# A QEMU that answers --version and then does what the row says, with the wires as variables.
qemu() { fake qemu-system-x86_64 'case $1 in
--version) echo "QEMU emulator version 7.2 (fake)"; exit ;; esac
for word in "$@"; do case $word in
socket,id=console,fd=*) console=${word##*=} ;;
socket,id=port,fd=*) port=${word##*=} ;;
socket,id=qmp,fd=*) qmp=${word##*=} ;;
esac; done
tell() { printf "%s\n" "$1" >&$qmp; }
'"$1"; }
# A run that is started, and signalled once a guest of it prints.
signal() {
	touch begun
	"$XTASK" run-matrix --accel tcg --filter "$ONE" --filter "$GOOD" \
		--configs "$CONFIGS" --results "$R" --cache "$CACHE" >log 2>&1 &
	p=$!
	for i in $(seq 300); do
		test "$(find "$R" -name console.log -newer begun -size +0)" && break
		sleep 0.05
	done
	sleep 0.3
	kill "$1" $p
}
ended() { wait $p; e=$?; cat log; return $e; }
# A private cache with a copy of what one cell needs.
cache() {
	I=own/images/$(basename "$(x build-kernel baseline --print-image 2>/dev/null | xargs dirname)")
	mkdir -p own/sources own/locks own/images
	cp -r "$CACHE/${I#own/}" own/images/
	cp -r --sparse=always "$CACHE"/{disk,guest} own/
	cp "$CACHE"/sources/*.json own/sources/
	CACHE=$T/own
}
# A kernel that is made in a blink, and its image in a private cache: nothing is compiled.
tiny() {
	mkdir -p linux/{arch,mm,scripts}
	echo 'mainmenu "x"' >linux/Kconfig
	touch linux/{arch,scripts}/Makefile
	echo a >linux/mm/a.c
	cat >linux/Makefile <<-'MAKE'
	VERSION = 6
	PATCHLEVEL = 12
	SUBLEVEL = 1
	tinyconfig: ; @echo '# CONFIG_A is not set' > $(KCONFIG_CONFIG)
	olddefconfig: ; @true
	bzImage: ; @mkdir -p arch/x86/boot; for f in $(made); do cat mm/a.c >$$f; done
	made := mm/a.o vmlinux System.map arch/x86/boot/bzImage
	MAKE
	echo CONFIG_A=y >"$CONFIGS/fragments/tiny.config"
	printf 'base = "6.12"\nfragments = ["tiny"]\n' >"$CONFIGS/kernels/tiny.toml"
	CACHE=$T/own
	build || exit
	I=$(echo own/images/*)
}
build() { x build-kernel tiny --source "$T/linux"; }
