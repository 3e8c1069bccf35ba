#include "harness/color.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool off;

void hm_color_off(void)
{
    off = true;
}

const char *hm_color_of(FILE *file, const char *word)
{
    static const struct {
        const char *word, *color;
    } words[] = {{"ok", "\033[32m"},           {"pass", "\033[32m"},    {"improved", "\033[32m"}, {"fail", "\033[31m"},
                 {"bad", "\033[31m"},          {"WRONG", "\033[31m"},   {"MISSING", "\033[31m"},  {"differs", "\033[31m"},
                 {"inconclusive", "\033[33m"}, {"invalid", "\033[33m"}, {"suspect", "\033[33m"},  {"note", "\033[33m"}};
    const char *said = getenv("NO_COLOR"), *terminal = getenv("TERM");
    if (off || (said && *said) || (terminal && !strcmp(terminal, "dumb")) || isatty(fileno(file)) != 1)
        return "";
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(words[i].word, word))
            return words[i].color;
    return "";
}

const char *hm_color_end(const char *begin)
{
    return *begin ? "\033[0m" : "";
}
