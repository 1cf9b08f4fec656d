#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# enter [COMMAND]: runs a command, or a shell, in the limited memcg of the cell that is set up.
echo $$ > /sys/fs/cgroup/parent/limited/cgroup.procs || exit
[ $# -gt 0 ] || set -- env 'PS1=limited:\w# ' sh
exec "$@"
