#include "engine/base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

void hm_log_write(const hm_log *log, hm_log_level level, const char *format, ...)
{
    char line[1024];
    va_list ap;
    if (!log || !log->write || level > log->level)
        return;
    va_start(ap, format);
    vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    log->write(log->self, level, line);
}
