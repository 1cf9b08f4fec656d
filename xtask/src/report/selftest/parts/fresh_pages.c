// SPDX-License-Identifier: MIT OR Apache-2.0

#define PAGE	4096

static char *fresh;

static void map_fresh_pages(void)
{
	fresh = mmap(NULL, (long)OPERATIONS * PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (fresh == MAP_FAILED)
		die("mmap");
}

/* mlockall() has made them present. Their page tables stay. */
static void drop_fresh_pages(void)
{
	if (munlock(fresh, (long)OPERATIONS * PAGE) ||
	    madvise(fresh, (long)OPERATIONS * PAGE, MADV_DONTNEED))
		die("madvise");
}
