// SPDX-License-Identifier: MIT OR Apache-2.0

/* Looks in the stacks of OOM reports for a charge of kernel memory. */
static void check_kills(int kmsg, long kills)
{
	long in_charge = 0, reports = 0;
	bool charge = false;
	char text[8192];
	ssize_t len;

	while ((len = read(kmsg, text, sizeof(text) - 1)) > 0) {
		text[len] = '\0';
		if (strstr(text, "invoked oom-killer"))
			charge = false;
		else if (strstr(text, " try_charge_memcg+"))
			charge = true;
		else if (strstr(text, " charge_memcg+") || strstr(text, " __mem_cgroup_charge+"))
			charge = false;	/* of a user page */
		else if (strstr(text, "Memory cgroup out of memory: Killed process"))
			in_charge += ++reports && charge;
	}
	printf("# %ld of %ld kills were inside a charge\n", in_charge, kills);
	if (!in_charge && reports < kills)
		printf("ok %d # SKIP not every kill is in the kernel log\n", ++tests);
	else
		result(!in_charge, "no task is killed inside a charge of kernel memory");
}
