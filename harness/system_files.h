/* Small files of /proc and /sys below a root: "/" on a machine, a folder in tests. */
#ifndef HM_HARNESS_SYSTEM_FILES_H
#define HM_HARNESS_SYSTEM_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* First line of root/folder/name without its newline. False when it cannot be read or is empty; errno tells why. */
bool hm_system_text(const char *root, const char *folder, const char *name, char *out, size_t size);
/* The same as a whole number in decimal. */
bool hm_system_number(const char *root, const char *folder, const char *name, int64_t *out);
bool hm_system_exists(const char *root, const char *folder);

/* Calls back for every entry of root/folder whose name begins with prefix, in the order of names. */
void hm_system_each(const char *root, const char *folder, const char *prefix, void (*entry)(void *self, const char *name), void *self);

#endif
