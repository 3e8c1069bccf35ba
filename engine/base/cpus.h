/* How many CPUs this process may use. */
#ifndef HM_ENGINE_BASE_CPUS_H
#define HM_ENGINE_BASE_CPUS_H

/* CPUs' worth of time that control groups leave to this process: the least of its own group's and those above it, of cpu.max (version 2)
 * and of cpu.cfs_quota_us / cpu.cfs_period_us (version 1), wherever they are mounted; 0: no bound. root: what stands before /proc and
 * /sys, "" but in tests. */
double hm_cpu_quota(const char *root);

/* The CPUs of the affinity mask, at most the quota rounded up: with 1.5 two threads do more than one. At least 1. */
int hm_cpu_available(void);

#endif
