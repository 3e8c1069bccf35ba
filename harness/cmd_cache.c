#define _GNU_SOURCE /* nftw */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine/pack.h"
#include "engine/synth.h"
#include "harness/commands.h"
#include "harness/model.h"
#include "harness/table.h"

static int64_t walked_bytes; /* nftw passes nothing along */

static int add_size(const char *path, const struct stat *s, int kind, struct FTW *place)
{
    (void)path;
    (void)place;
    if (kind == FTW_F)
        walked_bytes += s->st_size;
    return 0;
}

static int64_t folder_bytes(const char *path)
{
    walked_bytes = 0;
    nftw(path, add_size, 16, FTW_PHYS);
    return walked_bytes;
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *place)
{
    (void)s;
    (void)kind;
    (void)place;
    return remove(path);
}

typedef struct cache_entry {
    char name[256], path[HM_MODEL_PATH];
    int64_t bytes;
    bool preset; /* a name that a preset has: only these are ever removed */
} cache_entry;

/* "PRESET-HASH", of this release or another; or a preset's plain name. */
static bool preset_entry(const char *name)
{
    char plain[256];
    hm_model_name(name, plain, sizeof plain);
    return hm_preset_find(plain) != NULL;
}

/* Calls `each` for every entry of the model folder of the cache; none when there is no such folder. */
static hm_status walk(hm_status (*each)(void *self, const cache_entry *entry, hm_error *err), void *self, hm_error *err)
{
    char folder[HM_MODEL_PATH];
    struct dirent *d;
    hm_status st = hm_model_cache_path("", folder, sizeof folder, err);
    if (st)
        return st;
    DIR *dir = opendir(folder);
    if (!dir)
        return errno == ENOENT ? HM_OK : hm_fail(err, HM_EIO, "cache %s cannot be read: %s", folder, strerror(errno));
    while (!st && (d = readdir(dir))) {
        cache_entry e = {0};
        size_t n = strlen(d->d_name);
        if (d->d_name[0] == '.' || (n > 5 && !strcmp(d->d_name + n - 5, ".lock")))
            continue;
        snprintf(e.name, sizeof e.name, "%s", d->d_name);
        if ((size_t)snprintf(e.path, sizeof e.path, "%s%s", folder, d->d_name) >= sizeof e.path)
            continue;
        e.bytes = folder_bytes(e.path);
        e.preset = preset_entry(e.name);
        st = each(self, &e, err);
    }
    closedir(dir);
    return st;
}

static void add_row(hm_table *table, const char *name, int64_t bytes, const char *path)
{
    char size[32];
    snprintf(size, sizeof size, "%.1f", (double)bytes * 1e-6);
    hm_table_row(table, (const char *[]){name, NULL, size, NULL, path});
}

static hm_status list_entry(void *self, const cache_entry *e, hm_error *err)
{
    (void)err;
    add_row(self, e->name, e->bytes, e->path);
    return HM_OK;
}

/* What packed weights are of: the folder that the model's parts lie in, or what holds the weights themselves. */
static void pack_name(const hm_pack_file *f, char *out, size_t size)
{
    char models[HM_MODEL_PATH];
    size_t n;
    if (hm_model_cache_path("", models, sizeof models, NULL) || strncmp(f->label, models, n = strlen(models))) {
        snprintf(out, size, "%s", *f->label ? f->label : "-");
        return;
    }
    snprintf(out, size, "%s", f->label + n); /* of a preset: its name, and the part */
}

static void list_pack(void *self, const hm_pack_file *f)
{
    char size[32], used[32] = "-", name[HM_PACK_LABEL];
    struct tm tm;
    time_t at = (time_t)f->used_s;
    if (localtime_r(&at, &tm))
        strftime(used, sizeof used, "%Y-%m-%d %H:%M", &tm);
    pack_name(f, name, sizeof name);
    snprintf(size, sizeof size, "%.1f", (double)f->bytes * 1e-6);
    hm_table_row(self,
                 (const char *[]){name, f->format ? hm_format_name(f->format) : "unfinished", size, f->in_use ? "now" : used, f->path});
}

static void pruned_pack(void *self, const hm_pack_file *f)
{
    printf("removed %s\n", f->path);
    *(int64_t *)self += (int64_t)f->bytes;
}

static hm_status prune_entry(void *self, const cache_entry *e, hm_error *err)
{
    char lock[HM_MODEL_PATH + 8];
    int fd;
    int64_t *freed = self;
    if (!e->preset)
        return HM_OK;
    snprintf(lock, sizeof lock, "%s.lock", e->path);
    fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) {
        close(fd);
        return hm_fail(err, HM_EIO, "cache: %s is being made by another process; try again when it is done", e->name);
    }
    int failed = nftw(e->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    int reason = errno;
    if (fd >= 0)
        close(fd);
    if (failed)
        return hm_fail(err, HM_EIO, "cache: %s cannot be removed: %s", e->path, strerror(reason));
    printf("removed %s\n", e->path);
    *freed += e->bytes;
    return HM_OK;
}

/* What drivers of GPUs made of kernels. */
static hm_status list_compiled(hm_table *table, hm_error *err)
{
    char path[HM_MODEL_PATH];
    hm_status st = hm_cache_compiled(path, sizeof path, err);
    if (!st && !access(path, F_OK))
        add_row(table, "(kernels of GPUs)", folder_bytes(path), path);
    return st;
}

static hm_status prune_compiled(int64_t *freed, hm_error *err)
{
    char path[HM_MODEL_PATH];
    hm_status st = hm_cache_compiled(path, sizeof path, err);
    if (st || access(path, F_OK))
        return st;
    int64_t bytes = folder_bytes(path);
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS))
        return hm_fail(err, HM_EIO, "cache: %s cannot be removed: %s", path, strerror(errno));
    printf("removed %s\n", path);
    *freed += bytes;
    return HM_OK;
}

static hm_status list(hm_error *err)
{
    char packs[HM_MODEL_PATH];
    hm_table *table = hm_table_new((const char *[]){"model", "packed", ">MB", "last use", "path", NULL});
    hm_status st = walk(list_entry, table, err);
    if (!st)
        st = list_compiled(table, err);
    if (!st)
        st = hm_cache_packs(packs, sizeof packs, err);
    if (!st)
        st = hm_pack_list(packs, list_pack, table, err);
    hm_status printed = hm_table_end(table, stdout, 0, st ? NULL : err);
    return st ? st : printed;
}

/* Presets, and packed weights but the last used ones. */
static hm_status prune(double keep_gb, bool packs_only, hm_error *err)
{
    char packs[HM_MODEL_PATH];
    int64_t freed = 0;
    hm_status st = packs_only ? HM_OK : walk(prune_entry, &freed, err);
    if (!st && !packs_only)
        st = prune_compiled(&freed, err);
    if (!st)
        st = hm_cache_packs(packs, sizeof packs, err);
    if (!st)
        st = hm_pack_prune(packs, (uint64_t)(keep_gb * 1e9), pruned_pack, &freed, err);
    if (!st)
        fprintf(stderr, "%.1f MB are free again; presets, packed weights and kernels of GPUs are made anew on use\n", (double)freed * 1e-6);
    return st;
}

hm_status hm_cmd_cache(const hm_command *self, int argc, char **argv, hm_error *err)
{
    static const char *const actions[] = {"list", "prune", "path", NULL};
    char path[HM_MODEL_PATH];
    double keep_gb = 0;
    bool helped, packs_only = false;
    hm_strings args = {0};
    const hm_option options[] = {
        {"keep", 0, HM_OPT_DOUBLE, &keep_gb, "GB", "prune: packed weights of at most so many GB stay, the last used ones", 0, 1e9, NULL},
        {"packs", 0, HM_OPT_FLAG, &packs_only, NULL, "prune: packed weights alone", 0, 0, NULL},
        {0}};
    hm_status st = hm_options_parse(self, options, argc, argv, &args, 1, &helped, err);
    if (st || helped)
        return st;
    const char *action = args.count ? args.items[0] : "list";
    if (!strcmp(action, "list"))
        return list(err);
    if (!strcmp(action, "path")) {
        st = hm_cache_path(path, sizeof path, err);
        if (!st)
            printf("%s\n", path);
        return st;
    }
    if (!strcmp(action, "prune"))
        return prune(keep_gb, packs_only, err);
    char near[HM_SUGGESTION];
    return hm_fail(err, HM_EUSAGE, "cache: no action \"%s\"%s (list, prune, path)", action, hm_did_you_mean(near, action, actions));
}
