// SPDX-License-Identifier: MIT OR Apache-2.0
#include <sched.h>
#include <sys/mount.h>

/* A tmpfs that ends with this process. */
static void enter_tmpfs(void)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", "/tmp", "tmpfs", 0, "nr_inodes=0") || chdir("/tmp"))
		die("mount tmpfs");
}
