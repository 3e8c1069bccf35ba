/* Packs of one checkpoint: what files have is mapped, what is missing is packed straight into a new file's pages. */
#define _GNU_SOURCE
#include "engine/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/pack_impl.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14; an older one refuses and pages come on first use */
#endif

#define TOLD_BYTES ((uint64_t)64 << 20) /* of a new pack: what takes longer than a blink is told */

#define LARGE_PAGE ((uint64_t)2 << 20) /* bytes */

/* A layer packed now. */
typedef struct made_layer {
    hm_pack_row row;
    uint8_t *panels;
    size_t mapped;   /* bytes */
    bool unfinished; /* in the new file, which is not there yet */
} made_layer;

/* The layers of one format: those of the file that is there, and those made now. */
typedef struct format_file {
    bool looked, told;
    hm_pack_map old;
    int fd;     /* of the new file, or -1 */
    int locked; /* descriptor of the last finished one, for its lock; or -1 */
    char path[HM_PACK_PATH], temp[HM_PACK_PATH + 32];
    uint64_t end; /* bytes of the new file so far */
    made_layer *made;
    int count, room;
} format_file;

struct hm_pack {
    char *dir;    /* NULL: memory alone */
    bool refused; /* the folder cannot be written */
    bool lazy;
    char fingerprint[33], label[HM_PACK_LABEL];
    hm_team *team;
    const hm_log *log;
    uint64_t bytes;
    format_file file[HM_FORMAT_COUNT];
};

hm_status hm_pack_open(hm_pack **out, const char *dir, const char *fingerprint, const char *label, hm_team *team, const hm_log *log,
                       hm_error *err)
{
    hm_pack *p = hm_calloc(1, sizeof *p, "packs", err);
    if (!p)
        return HM_EABSENT;
    for (int i = 0; i < HM_FORMAT_COUNT; i++)
        p->file[i].fd = p->file[i].locked = p->file[i].old.fd = -1;
    p->dir = dir ? strdup(dir) : NULL;
    p->team = team;
    p->log = log;
    snprintf(p->fingerprint, sizeof p->fingerprint, "%s", fingerprint);
    snprintf(p->label, sizeof p->label, "%s", label);
    if (dir && !p->dir) {
        hm_pack_close(&p);
        return hm_fail(err, HM_EABSENT, "packs: no memory for the path of their folder");
    }
    *out = p;
    return HM_OK;
}

/* --- what is there --- */

/* Maps the format's file, once; that it is used is noted. */
static void look(hm_pack *p, hm_format format)
{
    format_file *f = &p->file[format];
    hm_error why = {0};
    if (f->looked)
        return;
    f->looked = true;
    if (!p->dir || hm_pack_path(f->path, p->dir, p->fingerprint, format, &why))
        return;
    hm_status st = hm_pack_map_open(&f->old, f->path, &why);
    if (!st && (f->old.header->format != format || strcmp(f->old.header->fingerprint, p->fingerprint))) {
        st = hm_fail(&why, HM_EFORMAT, "%s: holds other weights than its name says", f->path);
        hm_pack_map_close(&f->old);
    }
    if (st && st != HM_EMISSING)
        hm_log_write(p->log, HM_LOG_WARNING, "%s; it is made anew", why.text);
    if (!st)
        futimens(f->old.fd, NULL);
}

static int compare_name(const void *name, const void *row)
{
    return strcmp(name, ((const hm_pack_row *)row)->name);
}

static bool same_shape(const hm_pack_row *row, const hm_pack_layer *layer)
{
    return row->out == layer->out && row->in == layer->in && row->taps == layer->taps;
}

/* Brings a layer's pages in before the first use meets them one by one. */
static void read_in(const uint8_t *panels, uint64_t bytes)
{
    madvise((void *)panels, (size_t)bytes, MADV_POPULATE_READ);
}

const void *hm_pack_find(hm_pack *pack, const hm_pack_layer *layer)
{
    format_file *f = &pack->file[layer->format];
    look(pack, layer->format);
    for (int i = 0; i < f->count; i++)
        if (!strcmp(f->made[i].row.name, layer->name) && same_shape(&f->made[i].row, layer))
            return f->made[i].panels;
    if (!f->old.data)
        return NULL;
    const hm_pack_row *row = bsearch(layer->name, f->old.rows, (size_t)f->old.header->layers, sizeof *row, compare_name);
    if (!row || !same_shape(row, layer))
        return NULL;
    const uint8_t *panels = f->old.data + row->at;
    if (!pack->lazy)
        read_in(panels, row->bytes);
    if (hm_pack_sample(panels, row->bytes) != row->check) {
        hm_log_write(pack->log, HM_LOG_WARNING, "%s: layer %s does not have its checksum; it is made anew", f->path, layer->name);
        return NULL;
    }
    pack->bytes += row->bytes;
    return panels;
}

/* --- what is made --- */

/* A name beside the file, of this process. False: the folder cannot be written; the rest of the pack stays in memory. */
static bool start_file(hm_pack *p, format_file *f)
{
    if (!p->dir || p->refused)
        return false;
    if (f->fd >= 0)
        return true;
    size_t n = strlen(f->path);
    memcpy(f->temp, f->path, n);
    snprintf(f->temp + n, sizeof f->temp - n, ".part.%ld", (long)getpid());
    unlink(f->temp); /* of a process that had this number and died */
    f->fd = open(f->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (f->fd < 0) {
        hm_log_write(p->log, HM_LOG_WARNING, "packed weights cannot be kept in %s: %s; they stay in memory and are packed at every start",
                     p->dir, strerror(errno));
        p->refused = true;
        return false;
    }
    flock(f->fd, LOCK_SH | LOCK_NB);
    f->end = HM_PACK_ALIGN;
    return true;
}

static uint64_t aligned(uint64_t bytes)
{
    return (bytes + HM_PACK_ALIGN - 1) / HM_PACK_ALIGN * HM_PACK_ALIGN;
}

/* Room at the end of the new file. Blocks are taken at once: a full disk is an answer here, not a signal while packing. */
static uint8_t *take_file(hm_pack *p, format_file *f, uint64_t bytes, hm_error *err)
{
    int failed = posix_fallocate(f->fd, (off_t)f->end, (off_t)bytes);
    if (failed) {
        hm_fail(err, HM_EABSENT,
                "packs: no room for %.1f MB more in %s (%s); free some (hmbench cache prune), or set HMBENCH_CACHE to another disk",
                (double)bytes * 1e-6, p->dir, strerror(failed));
        return NULL;
    }
    /* Large pages of the cache end before the file does, and come in pairs: a tail without blocks until the file is finished. */
    uint64_t room = (f->end + bytes + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE + LARGE_PAGE;
    if (ftruncate(f->fd, (off_t)room))
        hm_log_write(p->log, HM_LOG_DEBUG, "%s: %s; its last pages are small ones", f->temp, strerror(errno));
    if (!f->told && f->end + bytes > TOLD_BYTES) {
        f->told = true;
        hm_log_write(p->log, HM_LOG_INFO, "packing weights of %s, once, into %s", p->label, f->path);
    }
    void *at = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, (off_t)f->end);
    if (at != MAP_FAILED) {
        madvise(at, (size_t)bytes, MADV_HUGEPAGE); /* what is written in large pages is mapped in large pages afterwards */
        return at;
    }
    hm_fail(err, HM_EIO, "%s: cannot map %llu bytes: %s", f->temp, (unsigned long long)bytes, strerror(errno));
    return NULL;
}

static uint8_t *take_memory(uint64_t bytes, hm_error *err)
{
    void *at = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        hm_fail(err, HM_EABSENT, "packed weights: no memory for %llu bytes", (unsigned long long)bytes);
        return NULL;
    }
    madvise(at, (size_t)bytes, MADV_HUGEPAGE);
    return at;
}

static made_layer *add_layer(format_file *f, hm_error *err)
{
    if (f->count == f->room) {
        int room = f->room ? 2 * f->room : 32;
        made_layer *more = realloc(f->made, (size_t)room * sizeof *more);
        if (!more) {
            hm_fail(err, HM_EABSENT, "packs: no memory for a table of %d layers", room);
            return NULL;
        }
        f->made = more;
        f->room = room;
    }
    f->made[f->count] = (made_layer){0};
    return &f->made[f->count++];
}

static hm_status refused(const hm_pack *p, const hm_pack_layer *layer, const hm_panel_source *s, int64_t bad, hm_error *err)
{
    float value;
    int64_t depth = (int64_t)s->in * s->taps, o = bad / depth, k = bad % depth;
    int64_t at = s->in_out ? k * s->out + o : bad;
    hm_to_f32(&value, (const uint8_t *)s->w + (size_t)at * hm_dtype_bytes(s->type), s->type, 1);
    return hm_fail(err, HM_EFORMAT, "%s: tensor %s: weight %lld of output %lld is %g, which %s cannot hold; take another precision",
                   p->label, layer->name, (long long)k, (long long)o, (double)value, hm_format_name(layer->format));
}

hm_status hm_pack_make(hm_pack *pack, const void **panels, const hm_pack_layer *layer, const hm_panel_source *source, hm_counters *count,
                       hm_error *err)
{
    format_file *f = &pack->file[layer->format];
    int64_t bad = -1;
    look(pack, layer->format);
    if (strlen(layer->name) >= sizeof f->made->row.name)
        return hm_fail(err, HM_EBUG, "packs: the name of layer %s is longer than %zu bytes", layer->name, sizeof f->made->row.name - 1);
    made_layer *m = add_layer(f, err);
    if (!m)
        return HM_EABSENT;
    uint64_t bytes = hm_panels_bytes(layer->format, layer->out, layer->in, layer->taps);
    bool to_file = start_file(pack, f);
    m->mapped = (size_t)aligned(bytes);
    m->panels = to_file ? take_file(pack, f, m->mapped, err) : take_memory(m->mapped, err);
    if (!m->panels) {
        f->count--;
        return err ? err->status : HM_EABSENT;
    }
    if (!hm_panels_pack(m->panels, layer->format, source, pack->team, &bad)) {
        munmap(m->panels, m->mapped);
        f->count--;
        return refused(pack, layer, source, bad, err);
    }
    mprotect(m->panels, m->mapped, PROT_READ);
    snprintf(m->row.name, sizeof m->row.name, "%s", layer->name);
    m->row.out = layer->out;
    m->row.in = layer->in;
    m->row.taps = layer->taps;
    m->row.at = to_file ? f->end : 0;
    m->row.bytes = bytes;
    m->row.check = hm_pack_sample(m->panels, bytes);
    m->unfinished = to_file;
    if (to_file)
        f->end += m->mapped;
    count->packed_bytes += bytes;
    pack->bytes += bytes;
    *panels = m->panels;
    return HM_OK;
}

/* --- writing --- */

static bool put(int fd, const void *data, uint64_t bytes, uint64_t at)
{
    const uint8_t *p = data;
    while (bytes) {
        ssize_t n = pwrite(fd, p, (size_t)bytes, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        at += (uint64_t)n;
        bytes -= (uint64_t)n;
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const hm_pack_row *)a)->name, ((const hm_pack_row *)b)->name);
}

static bool is_made(const format_file *f, const char *name)
{
    for (int i = 0; i < f->count; i++)
        if (f->made[i].unfinished && !strcmp(f->made[i].row.name, name))
            return true;
    return false;
}

/* The layers of the file that is there now, which another process may have put there meanwhile, behind those made. */
static bool copy_others(format_file *f, hm_pack_row *rows, uint64_t *count, const hm_pack_map *there)
{
    for (uint64_t i = 0; there->data && i < there->header->layers; i++) {
        hm_pack_row row = there->rows[i];
        if (is_made(f, row.name))
            continue;
        if (!put(f->fd, there->data + row.at, row.bytes, f->end))
            return false;
        row.at = f->end;
        f->end += aligned(row.bytes);
        rows[(*count)++] = row;
    }
    return true;
}

static bool write_table(const hm_pack *p, hm_format format, format_file *f, hm_pack_row *rows, uint64_t count)
{
    hm_pack_header h = {.magic = HM_PACK_MAGIC, .version = HM_PACK_VERSION, .format = format, .table_at = f->end, .layers = count};
    memcpy(h.fingerprint, p->fingerprint, sizeof p->fingerprint);
    memcpy(h.label, p->label, sizeof p->label);
    qsort(rows, (size_t)count, sizeof *rows, by_name);
    h.table_bytes = count * sizeof *rows;
    h.table_check = hm_pack_check(rows, h.table_bytes);
    h.file_bytes = f->end + h.table_bytes;
    h.check = hm_pack_header_check(&h);
    return put(f->fd, rows, h.table_bytes, f->end) && !ftruncate(f->fd, (off_t)h.file_bytes) && put(f->fd, &h, sizeof h, 0);
}

static void sync_folder(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

/* False, with errno: the file is not there. */
static bool finish_file(hm_pack *p, hm_format format, format_file *f)
{
    hm_pack_map there = {.fd = -1};
    uint64_t count = 0;
    if (hm_pack_map_open(&there, f->path, NULL) || strcmp(there.header->fingerprint, p->fingerprint) || there.header->format != format)
        hm_pack_map_close(&there);
    hm_pack_row *rows = calloc((size_t)f->count + (there.data ? (size_t)there.header->layers : 0), sizeof *rows);
    bool good = rows != NULL;
    for (int i = 0; good && i < f->count; i++)
        if (f->made[i].unfinished)
            rows[count++] = f->made[i].row;
    good = good && copy_others(f, rows, &count, &there) && write_table(p, format, f, rows, count) && !fsync(f->fd) &&
           !rename(f->temp, f->path);
    int failed = errno;
    free(rows);
    hm_pack_map_close(&there);
    if (good)
        sync_folder(p->dir);
    errno = failed;
    return good;
}

hm_status hm_pack_finish(hm_pack *pack, hm_error *err)
{
    bool wrote = false;
    for (int i = 0; i < HM_FORMAT_COUNT; i++) {
        format_file *f = &pack->file[i];
        if (f->fd < 0)
            continue;
        if (finish_file(pack, (hm_format)i, f))
            wrote = true;
        else {
            hm_log_write(pack->log, HM_LOG_WARNING, "%s cannot be finished: %s; its weights are packed again at the next start", f->path,
                         strerror(errno));
            unlink(f->temp);
        }
        for (int j = 0; j < f->count; j++)
            f->made[j].unfinished = false;
        if (f->locked >= 0)
            close(f->locked);
        f->locked = f->fd;
        f->fd = -1;
    }
    return wrote ? hm_pack_prune(pack->dir, HM_PACK_BOUND, NULL, NULL, err) : HM_OK;
}

void hm_pack_close(hm_pack **pack)
{
    hm_pack *p = *pack;
    if (!p)
        return;
    for (int i = 0; i < HM_FORMAT_COUNT; i++) {
        format_file *f = &p->file[i];
        for (int j = 0; j < f->count; j++)
            munmap(f->made[j].panels, f->made[j].mapped);
        free(f->made);
        if (f->fd >= 0) {
            unlink(f->temp);
            close(f->fd);
        }
        if (f->locked >= 0)
            close(f->locked);
        hm_pack_map_close(&f->old);
    }
    free(p->dir);
    free(p);
    *pack = NULL;
}

void hm_pack_lazy(hm_pack *pack)
{
    pack->lazy = true;
}

void hm_pack_read_in(hm_pack *pack)
{
    for (int i = 0; pack && i < HM_FORMAT_COUNT; i++) {
        const format_file *f = &pack->file[i];
        if (f->old.data)
            read_in(f->old.data, f->old.bytes);
        for (int j = 0; j < f->count; j++)
            if (f->made[j].row.at)
                read_in(f->made[j].panels, f->made[j].mapped);
    }
}

uint64_t hm_pack_give_back(hm_pack *pack)
{
    uint64_t bytes = 0;
    for (int i = 0; pack && i < HM_FORMAT_COUNT; i++) {
        const format_file *f = &pack->file[i];
        if (f->old.data && !madvise((void *)f->old.data, (size_t)f->old.bytes, MADV_DONTNEED))
            bytes += f->old.bytes;
        for (int j = 0; j < f->count; j++)
            if (f->made[j].row.at && !madvise(f->made[j].panels, f->made[j].mapped, MADV_DONTNEED))
                bytes += f->made[j].mapped;
    }
    return bytes;
}

bool hm_pack_refused(const hm_pack *pack)
{
    return pack && pack->refused;
}

uint64_t hm_pack_bytes(const hm_pack *pack)
{
    return pack ? pack->bytes : 0;
}
