/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine, the compiler and who else is busy: without these a time says nothing. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

/* The first line of a file that starts with key, without the key; or "unknown". */
static void read_line(const char *path, const char *key, char *to, size_t size)
{
	FILE *file = fopen(path, "r");
	char line[256];

	snprintf(to, size, "unknown");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		char *from = line + strlen(key);

		if (strncmp(line, key, strlen(key)) == 0) {
			from += strspn(from, " \t:");
			from[strcspn(from, "\n")] = '\0';
			snprintf(to, size, "%s", from);
			break;
		}
	}
	if (file != NULL) {
		fclose(file);
	}
}

void host_read(struct host *host, int cpu)
{
	time_t now = time(NULL);
	struct utsname name;
	struct tm tm;
	char path[128];

	memset(host, 0, sizeof(*host));
	read_line("/proc/cpuinfo", "model name", host->cpu, sizeof(host->cpu));
	uname(&name);
	snprintf(host->kernel, sizeof(host->kernel), "%s %s %s", name.sysname, name.release,
		 name.machine);
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", cpu);
	read_line(path, "", host->governor, sizeof(host->governor));
	strftime(host->date, sizeof(host->date), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
#ifdef __clang__
	host->compiler = "clang " __clang_version__;
#else
	host->compiler = "gcc " __VERSION__;
#endif
	host->flags = BENCH_FLAGS;
	host->cpus = sysconf(_SC_NPROCESSORS_ONLN);
}

double host_load(void)
{
	double load;

	return getloadavg(&load, 1) == 1 ? load : 0;
}

uint64_t host_preempted(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_nivcsw : 0;
}

bool host_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) == 0;
}

bool host_cpus(int first, int cpu[2])
{
	cpu_set_t set;

	cpu[0] = first;
	cpu[1] = -1;
	if (sched_getaffinity(0, sizeof(set), &set) != 0) {
		return false;
	}
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET((size_t)i, &set)) {
			continue;
		}
		if (cpu[0] < 0) {
			cpu[0] = i;
		} else if (i != cpu[0] && cpu[1] < 0) {
			cpu[1] = i;
		}
	}
	return cpu[0] >= 0 && cpu[0] < CPU_SETSIZE && CPU_ISSET((size_t)cpu[0], &set);
}
