#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/audio/audio.h"
#include "engine/audio/audio_impl.h"

static const struct container {
    const char *suffix;
    int format;
    bool clips; /* stores a fixed range */
} containers[] = {
    {".wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, false},
    {".flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_24, true},
    {".mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, true},
};

static const struct container *container_of_path(const char *path)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    for (size_t i = 0; dot && i < sizeof containers / sizeof *containers; i++)
        if (!strcasecmp(dot, containers[i].suffix))
            return &containers[i];
    return NULL;
}

/* Folder part of path into out: "." when it has none. */
static void folder_of(const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(out, size, ".");
    else
        snprintf(out, size, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

hm_status hm_audio_check_path(const char *path, hm_error *err)
{
    const struct container *c = container_of_path(path);
    char folder[PATH_MAX];
    struct stat s;
    if (!c)
        return hm_fail(err, HM_EUSAGE, "output %s: its suffix names no audio format; expected .wav, .flac or .mp3", path);
    SF_INFO info = {.samplerate = 48000, .channels = 2, .format = c->format};
    if (!sf_format_check(&info))
        return hm_fail(err, HM_EABSENT, "output %s: the installed %s cannot write %s; choose .wav", path, sf_version_string(),
                       c->suffix + 1);
    if (strlen(path) >= sizeof folder)
        return hm_fail(err, HM_EUSAGE, "output: its path is %zu bytes, at most %zu", strlen(path), sizeof folder - 1);
    folder_of(path, folder, sizeof folder);
    if (stat(folder, &s) || !S_ISDIR(s.st_mode))
        return hm_fail(err, HM_ECREATE, "output %s: there is no folder %s", path, folder);
    if (access(folder, W_OK | X_OK))
        return hm_fail(err, HM_ECREATE, "output %s: no file can be made in %s: %s", path, folder, strerror(errno));
    if (!stat(path, &s) && !S_ISREG(s.st_mode))
        return hm_fail(err, HM_ECREATE, "output %s exists and is no regular file", path);
    return HM_OK;
}

struct hm_audio_writer {
    const struct container *container;
    char path[PATH_MAX], temporary[PATH_MAX + 16];
    int fd, channels;
    SNDFILE *file;
    FILE *stream;    /* instead of all above */
    float *buffer;   /* [HM_AUDIO_CHUNK][channels] */
    int64_t samples; /* per channel so far */
};

static hm_status check_signal(const char *path, int channels, int rate_hz, hm_error *err)
{
    if (channels >= 1 && channels <= HM_AUDIO_MAX_CHANNELS && rate_hz >= 1)
        return HM_OK;
    return hm_fail(err, HM_EUSAGE, "output %s: %d channels at %d Hz is no signal", path, channels, rate_hz);
}

static hm_status open_encoder(hm_audio_writer *w, int rate_hz, hm_error *err)
{
    const struct container *c = w->container;
    SF_INFO info = {.samplerate = rate_hz, .channels = w->channels, .format = c->format};
    if (!sf_format_check(&info))
        return hm_fail(err, HM_EUSAGE, "output %s: %s cannot hold %d channels at %d Hz", w->path, c->suffix + 1, w->channels, rate_hz);
    w->file = sf_open_fd(w->fd, SFM_WRITE, &info, SF_FALSE);
    if (!w->file)
        return hm_fail(err, HM_EIO, "output %s: %s", w->path, sf_strerror(NULL));
    sf_command(w->file, SFC_SET_ADD_PEAK_CHUNK, NULL, SF_FALSE); /* it holds the time of day */
    return HM_OK;
}

static hm_status open_temporary(hm_audio_writer *w, hm_error *err)
{
    snprintf(w->temporary, sizeof w->temporary, "%s.XXXXXX", w->path);
    w->fd = mkstemp(w->temporary);
    if (w->fd < 0)
        return hm_fail(err, HM_ECREATE, "output %s cannot be made: %s", w->path, strerror(errno));
    mode_t mask = umask(0);
    umask(mask);
    return fchmod(w->fd, 0666 & ~mask) ? hm_fail(err, HM_EIO, "output %s: %s", w->path, strerror(errno)) : HM_OK;
}

static hm_audio_writer *new_writer(int channels, hm_error *err)
{
    hm_audio_writer *w = hm_calloc(1, sizeof *w, "audio writer", err);
    if (!w)
        return NULL;
    w->fd = -1;
    w->channels = channels;
    w->buffer = hm_calloc((size_t)channels * HM_AUDIO_CHUNK, sizeof *w->buffer, "audio being written", err);
    if (!w->buffer)
        hm_audio_writer_close(&w, false, NULL);
    return w;
}

hm_status hm_audio_writer_open(hm_audio_writer **out, const char *path, int channels, int rate_hz, hm_error *err)
{
    hm_status st = hm_audio_check_path(path, err);
    if (!st)
        st = check_signal(path, channels, rate_hz, err);
    if (st)
        return st;
    hm_audio_writer *w = new_writer(channels, err);
    if (!w)
        return HM_EABSENT;
    w->container = container_of_path(path);
    snprintf(w->path, sizeof w->path, "%s", path);
    st = open_temporary(w, err);
    if (!st)
        st = open_encoder(w, rate_hz, err);
    if (st)
        hm_audio_writer_close(&w, false, NULL);
    else
        *out = w;
    return st;
}

static void put_le(uint8_t *out, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

/* 44 bytes of header whose lengths say: until the end. */
static void stream_header(uint8_t *h, int channels, int rate_hz)
{
    memcpy(h, "RIFF\xff\xff\xff\xffWAVEfmt ", 16);
    put_le(h + 16, 16, 4);
    put_le(h + 20, 1, 2); /* PCM */
    put_le(h + 22, (uint32_t)channels, 2);
    put_le(h + 24, (uint32_t)rate_hz, 4);
    put_le(h + 28, (uint32_t)rate_hz * (uint32_t)channels * 2, 4);
    put_le(h + 32, (uint32_t)channels * 2, 2);
    put_le(h + 34, 16, 2);
    memcpy(h + 36, "data\xff\xff\xff\xff", 8);
}

hm_status hm_audio_writer_open_stream(hm_audio_writer **out, FILE *stream, int channels, int rate_hz, hm_error *err)
{
    uint8_t header[44];
    hm_status st = check_signal("-", channels, rate_hz, err);
    if (st)
        return st;
    hm_audio_writer *w = new_writer(channels, err);
    if (!w)
        return HM_EABSENT;
    w->stream = stream;
    snprintf(w->path, sizeof w->path, "-");
    stream_header(header, channels, rate_hz);
    if (fwrite(header, sizeof header, 1, stream) != 1 || fflush(stream)) {
        st = hm_fail(err, HM_EIO, "output -: %s", strerror(errno));
        hm_audio_writer_close(&w, false, NULL);
        return st;
    }
    *out = w;
    return HM_OK;
}

/* Up to a chunk of interleaved samples. */
static hm_status put(hm_audio_writer *w, int64_t n, hm_error *err)
{
    if (w->file)
        return sf_writef_float(w->file, w->buffer, n) == n
                   ? HM_OK
                   : hm_fail(err, HM_EIO, "output %s: writing failed: %s", w->path, sf_strerror(w->file));
    uint8_t *bytes = (uint8_t *)w->buffer; /* two for every four: what is behind is written already */
    for (int64_t i = 0; i < n * w->channels; i++)
        put_le(bytes + 2 * i, (uint32_t)(int32_t)lrintf(w->buffer[i] * 32767.0f), 2);
    size_t size = (size_t)(n * w->channels) * 2;
    return fwrite(bytes, 1, size, w->stream) == size ? HM_OK : hm_fail(err, HM_EIO, "output -: %s", strerror(errno));
}

hm_status hm_audio_writer_write(hm_audio_writer *w, const float *planar, int64_t samples, hm_error *err)
{
    bool clips = !w->container || w->container->clips;
    hm_status st = HM_OK;
    if (w->container && w->container->format == (SF_FORMAT_WAV | SF_FORMAT_FLOAT) &&
        samples > (int64_t)0xFFFF0000 / 4 / w->channels - w->samples)
        return hm_fail(err, HM_EUSAGE, "output %s: WAV files end at 4 GiB; choose .flac", w->path);
    for (int64_t first = 0; first < samples && !st; first += HM_AUDIO_CHUNK) {
        int64_t n = samples - first < HM_AUDIO_CHUNK ? samples - first : HM_AUDIO_CHUNK;
        for (int c = 0; c < w->channels; c++)
            for (int64_t i = 0; i < n; i++) {
                float v = planar[(int64_t)c * samples + first + i];
                if (!isfinite(v))
                    st = HM_EINVALID;
                w->buffer[i * w->channels + c] = !clips ? v : v > 1 ? 1 : v < -1 ? -1 : v;
            }
        if (st)
            return hm_fail(err, st, "output %s: the signal has a NaN or infinite sample after %lld samples; nothing is written", w->path,
                           (long long)(w->samples + first));
        st = put(w, n, err);
    }
    w->samples += samples;
    if (!st && w->stream && fflush(w->stream))
        st = hm_fail(err, HM_EIO, "output -: %s", strerror(errno));
    return st;
}

hm_status hm_audio_writer_close(hm_audio_writer **writer, bool keep, hm_error *err)
{
    hm_audio_writer *w = *writer;
    hm_status st = HM_OK;
    if (!w)
        return HM_OK;
    if (w->file && sf_close(w->file))
        st = hm_fail(err, HM_EIO, "output %s: closing it failed", w->path);
    if (w->fd >= 0) {
        if (keep && !st && fsync(w->fd) && errno != EINVAL)
            st = hm_fail(err, HM_EIO, "output %s: %s", w->path, strerror(errno));
        if (close(w->fd) && !st)
            st = hm_fail(err, HM_EIO, "output %s: %s", w->path, strerror(errno));
        if (keep && !st && rename(w->temporary, w->path))
            st = hm_fail(err, HM_ECREATE, "output %s cannot be put in place: %s", w->path, strerror(errno));
        if (!keep || st)
            unlink(w->temporary);
    }
    free(w->buffer);
    free(w);
    *writer = NULL;
    return st;
}

hm_status hm_audio_write(const char *path, const float *planar, int channels, int64_t samples, int rate_hz, hm_error *err)
{
    hm_audio_writer *w = NULL;
    if (samples < 0)
        return hm_fail(err, HM_EUSAGE, "output %s: %lld samples at %d Hz is no signal", path, (long long)samples, rate_hz);
    hm_status st = hm_audio_writer_open(&w, path, channels, rate_hz, err);
    if (st)
        return st;
    st = hm_audio_writer_write(w, planar, samples, err);
    hm_status closed = hm_audio_writer_close(&w, !st, st ? NULL : err);
    return st ? st : closed;
}

/* Why libsndfile did not open a file, without the full stop. */
static const char *open_error(char *out, size_t size)
{
    snprintf(out, size, "%s", sf_strerror(NULL));
    size_t n = strlen(out);
    if (n && out[n - 1] == '.')
        out[n - 1] = 0;
    return out;
}

hm_status hm_audio_open_file(SNDFILE **file, SF_INFO *info, const char *path, hm_error *err)
{
    struct stat s;
    char why[256];
    memset(info, 0, sizeof *info);
    if (stat(path, &s))
        return hm_fail(err, HM_EMISSING, "audio %s: %s", path, strerror(errno));
    if (!S_ISREG(s.st_mode))
        return hm_fail(err, HM_EMISSING, "audio %s is no regular file", path);
    *file = sf_open(path, SFM_READ, info);
    if (!*file)
        return hm_fail(err, HM_EFORMAT, "audio %s: %s; WAV, FLAC, Ogg and MP3 files can be read", path, open_error(why, sizeof why));
    if (info->channels >= 1 && info->channels <= HM_AUDIO_MAX_CHANNELS && info->samplerate >= 1)
        return HM_OK;
    sf_close(*file);
    return hm_fail(err, HM_EFORMAT, "audio %s: %d channels at %d Hz; expected 1 to %d channels", path, info->channels, info->samplerate,
                   HM_AUDIO_MAX_CHANNELS);
}

/* All frames, interleaved. The length in the header is not trusted: memory grows with what is really there. */
static hm_status read_interleaved(SNDFILE *file, const char *path, int channels, float **out, int64_t *samples, hm_error *err)
{
    float *data = NULL;
    int64_t used = 0, room = 0;
    for (;;) {
        if (room - used < HM_AUDIO_CHUNK) {
            int64_t wanted = room ? room * 2 : 4 * HM_AUDIO_CHUNK;
            float *grown = wanted > INT64_MAX / 256 / channels ? NULL : realloc(data, (size_t)wanted * (size_t)channels * sizeof *data);
            if (!grown) {
                free(data);
                return hm_fail(err, HM_EABSENT, "audio %s: no memory for more than %lld samples", path, (long long)used);
            }
            data = grown;
            room = wanted;
        }
        sf_count_t n = sf_readf_float(file, data + used * channels, HM_AUDIO_CHUNK);
        if (n <= 0)
            break;
        used += n;
    }
    if (sf_error(file)) {
        free(data);
        return hm_fail(err, HM_EFORMAT, "audio %s: after %lld samples: %s", path, (long long)used, sf_strerror(file));
    }
    *out = data;
    *samples = used;
    return HM_OK;
}

hm_status hm_audio_read(const char *path, float **planar, int *channels, int64_t *samples, int *rate_hz, hm_error *err)
{
    SNDFILE *file;
    SF_INFO info;
    float *data = NULL, *result = NULL;
    int64_t n = 0;
    hm_status st = hm_audio_open_file(&file, &info, path, err);
    if (st)
        return st;
    st = read_interleaved(file, path, info.channels, &data, &n, err);
    sf_close(file);
    if (st)
        return st;
    if (n) {
        result = hm_calloc((size_t)n, sizeof *result * (size_t)info.channels, "audio that was read", err);
        if (!result) {
            free(data);
            return HM_EABSENT;
        }
        for (int c = 0; c < info.channels; c++)
            for (int64_t i = 0; i < n; i++)
                result[(int64_t)c * n + i] = data[i * info.channels + c];
    }
    free(data);
    *planar = result;
    *channels = info.channels;
    *samples = n;
    *rate_hz = info.samplerate;
    return HM_OK;
}

/* "wav float32" of a libsndfile format. */
static void name_codec(int format, char *out, size_t size, int *bits)
{
    static const struct {
        int code, bits;
        const char *name;
    } subformats[] = {{SF_FORMAT_PCM_S8, 8, "8 bit"},    {SF_FORMAT_PCM_U8, 8, "8 bit"},   {SF_FORMAT_PCM_16, 16, "16 bit"},
                      {SF_FORMAT_PCM_24, 24, "24 bit"},  {SF_FORMAT_PCM_32, 32, "32 bit"}, {SF_FORMAT_FLOAT, 32, "float32"},
                      {SF_FORMAT_DOUBLE, 64, "float64"}, {SF_FORMAT_VORBIS, 0, "vorbis"},  {SF_FORMAT_OPUS, 0, "opus"},
                      {SF_FORMAT_MPEG_LAYER_III, 0, ""}};
    int major = format & SF_FORMAT_TYPEMASK;
    const char *container = major == SF_FORMAT_WAV || major == SF_FORMAT_WAVEX ? "wav"
                            : major == SF_FORMAT_FLAC                          ? "flac"
                            : major == SF_FORMAT_MPEG                          ? "mp3"
                            : major == SF_FORMAT_OGG                           ? "ogg"
                                                                               : "other";
    const char *name = "";
    *bits = 0;
    for (size_t i = 0; i < sizeof subformats / sizeof *subformats; i++)
        if ((format & SF_FORMAT_SUBMASK) == subformats[i].code) {
            name = subformats[i].name;
            *bits = subformats[i].bits;
        }
    snprintf(out, size, "%s%s%s", container, *name ? " " : "", name);
}

hm_status hm_audio_file_facts(hm_audio_facts *facts, const char *path, hm_error *err)
{
    SNDFILE *file;
    SF_INFO info;
    struct stat s;
    hm_status st = hm_audio_open_file(&file, &info, path, err);
    if (st)
        return st;
    sf_close(file);
    if (stat(path, &s))
        return hm_fail(err, HM_EMISSING, "audio %s: %s", path, strerror(errno));
    name_codec(info.format, facts->codec, sizeof facts->codec, &facts->bits);
    if (facts->duration_s > 0)
        facts->bit_rate_kbps = (double)s.st_size * 8e-3 / facts->duration_s;
    return HM_OK;
}
