#include "harness/system_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 1024

static bool join(char out[PATH_BYTES], const char *root, const char *folder, const char *name)
{
    size_t n = strlen(root);
    int size = snprintf(out, PATH_BYTES, "%s%s%s%s%s", root, n && root[n - 1] == '/' ? "" : "/", folder, name ? "/" : "", name ? name : "");
    errno = size < PATH_BYTES ? 0 : ENAMETOOLONG;
    return size < PATH_BYTES;
}

bool hm_system_text(const char *root, const char *folder, const char *name, char *out, size_t size)
{
    char path[PATH_BYTES];
    out[0] = 0;
    FILE *f = join(path, root, folder, name) ? fopen(path, "re") : NULL;
    if (!f)
        return false;
    errno = 0;
    bool good = fgets(out, (int)size, f);
    int why = errno;
    fclose(f);
    errno = why;
    out[strcspn(out, "\n")] = 0;
    return good && out[0];
}

bool hm_system_number(const char *root, const char *folder, const char *name, int64_t *out)
{
    char text[64], *end;
    if (!hm_system_text(root, folder, name, text, sizeof text))
        return false;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno)
        return false;
    *out = value;
    return true;
}

bool hm_system_exists(const char *root, const char *folder)
{
    char path[PATH_BYTES];
    return join(path, root, folder, NULL) && !access(path, F_OK);
}

void hm_system_each(const char *root, const char *folder, const char *prefix, void (*entry)(void *self, const char *name), void *self)
{
    char path[PATH_BYTES];
    struct dirent **list = NULL;
    int n = join(path, root, folder, NULL) ? scandir(path, &list, NULL, alphasort) : -1;
    for (int i = 0; i < n; i++) {
        if (!strncmp(list[i]->d_name, prefix, strlen(prefix)))
            entry(self, list[i]->d_name);
        free(list[i]);
    }
    free(list);
}
