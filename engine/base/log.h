/* Messages from library code to whoever owns the terminal. The library itself prints nothing. */
#ifndef HM_ENGINE_BASE_LOG_H
#define HM_ENGINE_BASE_LOG_H

typedef enum hm_log_level {
    HM_LOG_WARNING,
    HM_LOG_INFO,
    HM_LOG_DEBUG
} hm_log_level;

typedef struct hm_log {
    void *self;
    hm_log_level level; /* messages above it are dropped */
    void (*write)(void *self, hm_log_level level, const char *line);
} hm_log;

/* One line without newline. A NULL log or write drops it. */
void hm_log_write(const hm_log *log, hm_log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
