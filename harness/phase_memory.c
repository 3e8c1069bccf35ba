#include "harness/phase_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[HM_MEMORY_PHASES] = {"load", "prefill", "generate", "decode"};

typedef struct status {
    int64_t peak_bytes, rss_bytes, file_bytes; /* VmHWM, VmRSS, RssFile */
} status;

static FILE *open_below(const char *root, const char *name, const char *mode)
{
    char path[1024];
    int n = snprintf(path, sizeof path, "%s/proc/self/%s", strcmp(root, "/") ? root : "", name);
    return n < (int)sizeof path ? fopen(path, mode) : NULL;
}

static void take(const char *line, const char *key, int64_t *out)
{
    size_t n = strlen(key);
    if (!strncmp(line, key, n) && line[n] == ':')
        *out = strtoll(line + n + 1, NULL, 10) * 1024;
}

static status read_status(const char *root)
{
    char line[256];
    status s = {HM_UNKNOWN, HM_UNKNOWN, HM_UNKNOWN};
    FILE *f = open_below(root, "status", "re");
    while (f && fgets(line, sizeof line, f)) {
        take(line, "VmHWM", &s.peak_bytes);
        take(line, "VmRSS", &s.rss_bytes);
        take(line, "RssFile", &s.file_bytes);
    }
    if (f)
        fclose(f);
    return s;
}

/* "5" sets the mark back to what is resident now (Linux 4.0 on, CONFIG_PROC_PAGE_MONITOR). */
static bool set_back(const char *root)
{
    FILE *f = open_below(root, "clear_refs", "we");
    if (!f)
        return false;
    bool good = fputs("5", f) >= 0;
    return !fclose(f) && good;
}

static void note_most(hm_phase_memory *m, int64_t bytes)
{
    if (bytes > m->most_bytes) /* HM_UNKNOWN is the least of all */
        m->most_bytes = bytes;
}

static int phase_of(const char *name)
{
    for (int i = 0; i < HM_MEMORY_PHASES; i++)
        if (!strcmp(name, names[i]))
            return i;
    return -1;
}

void hm_phase_memory_open(hm_phase_memory *m, const char *root)
{
    *m = (hm_phase_memory){.root = root, .most_bytes = HM_UNKNOWN, .at_begin = HM_UNKNOWN};
    hm_phase_memory_clear(m);
    m->phases[0].most_bytes = m->phases[0].file_bytes = HM_UNKNOWN;
    note_most(m, read_status(root).peak_bytes);
    m->set_back = set_back(root);
}

void hm_phase_memory_clear(hm_phase_memory *m)
{
    for (int i = 1; i < HM_MEMORY_PHASES; i++)
        m->phases[i].most_bytes = m->phases[i].file_bytes = HM_UNKNOWN;
}

void hm_phase_memory_begin(hm_phase_memory *m, const char *name)
{
    if (phase_of(name) < 0)
        return;
    m->at_begin = read_status(m->root).peak_bytes;
    note_most(m, m->at_begin);
    if (m->set_back)
        m->set_back = set_back(m->root);
}

void hm_phase_memory_end(hm_phase_memory *m, const char *name)
{
    int i = phase_of(name);
    if (i < 0)
        return;
    status s = read_status(m->root);
    note_most(m, s.peak_bytes);
    if (s.peak_bytes == HM_UNKNOWN || (!m->set_back && s.peak_bytes <= m->at_begin)) /* the mark may be an earlier phase's */
        return;
    if (s.peak_bytes > m->phases[i].most_bytes) {
        m->phases[i].most_bytes = s.peak_bytes;
        m->phases[i].file_bytes = s.file_bytes;
    }
}

void hm_phase_memory_fill(hm_phase_memory *m, int64_t mapped_bytes, hm_sample *sample)
{
    int64_t *const out[HM_MEMORY_PHASES] = {&sample->load_peak_bytes, &sample->prefill_peak_bytes, &sample->generate_peak_bytes,
                                            &sample->decode_peak_bytes};
    status now = read_status(m->root);
    note_most(m, now.peak_bytes);
    sample->peak_rss_bytes = m->most_bytes;
    if (mapped_bytes == HM_UNKNOWN || now.file_bytes == HM_UNKNOWN)
        return;
    int64_t others = now.file_bytes > mapped_bytes ? now.file_bytes - mapped_bytes : 0; /* program and libraries: as in every phase */
    for (int i = 0; i < HM_MEMORY_PHASES; i++) {
        int64_t file = m->phases[i].file_bytes;
        if (m->phases[i].most_bytes == HM_UNKNOWN || file == HM_UNKNOWN)
            continue;
        int64_t model = file > others ? file - others : 0;
        *out[i] = m->phases[i].most_bytes > model ? m->phases[i].most_bytes - model : 0;
    }
}

int64_t hm_resident_bytes(const char *root)
{
    return read_status(root).rss_bytes;
}
