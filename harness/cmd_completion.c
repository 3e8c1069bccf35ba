#include <stdio.h>
#include <string.h>

#include "harness/commands.h"

/* Words a command takes in its first place, from its usage: "list suites|variants [--json]" gives "suites variants". */
static void print_words(const char *usage)
{
    const char *p = usage + strcspn(usage, " \n");
    p += *p == ' ';
    size_t n = strcspn(p, " \n");
    if (!memchr(p, '|', n) || !(*p >= 'a' && *p <= 'z')) /* capitals stand for what users write there */
        return;
    for (size_t i = 0; i < n; i++)
        putchar(p[i] == '|' ? ' ' : p[i]);
}

/* text inside single quotes, for bash, zsh and fish; `colon` too is escaped (zsh's separator). */
static void print_quoted(const char *text, char colon)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (colon && *text == colon)
            printf("\\%c", colon);
        else
            putchar(*text);
    }
}

static void print_bash(void)
{
    printf("# bash completion of hmbench: source <(hmbench completion bash)\n"
           "_hmbench()\n{\n"
           "    local hm=${COMP_WORDS[0]} command=${COMP_WORDS[1]} current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
           "    local words=\n"
           "    COMPREPLY=()\n"
           "    if ((COMP_CWORD == 1)); then\n        words='");
    for (const hm_command *c = hm_commands; c->name; c++)
        printf("%s%s", c == hm_commands ? "" : " ", c->name);
    printf("'\n    elif [[ $before == --variant || $before == -V ]]; then\n"
           "        words=$(\"$hm\" list variants --names 2>/dev/null)\n"
           "    elif [[ $before == --model || $before == -m ]]; then\n"
           "        words=$(\"$hm\" list models --names 2>/dev/null)\n"
           "    elif [[ $before == --* ]]; then\n"
           "        words=$(\"$hm\" \"$command\" --list-options 2>/dev/null | awk -F'\\t' -v o=\"$before\" '$1 == o && $2 ~ / / {print $2}')\n"
           "    fi\n"
           "    if [[ -z $words && $current == -* ]]; then\n"
           "        words=$(\"$hm\" \"$command\" --list-options 2>/dev/null | cut -f1)\n"
           "    elif [[ -z $words ]] && ((COMP_CWORD == 2)); then\n"
           "        case $command in\n");
    for (const hm_command *c = hm_commands; c->name; c++) {
        if (!strcmp(c->name, "suite")) {
            printf("        suite) words=$(\"$hm\" list suites --names 2>/dev/null) ;;\n");
            continue;
        }
        printf("        %s) words='", c->name);
        if (!strcmp(c->name, "help"))
            for (const hm_command *d = hm_commands; d->name; d++)
                printf("%s ", d->name);
        else
            print_words(c->usage);
        printf("' ;;\n");
    }
    printf("        esac\n    fi\n"
           "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
           "}\ncomplete -o default -F _hmbench hmbench ./hmbench\n");
}

static void print_zsh(void)
{
    printf("#compdef hmbench\n# zsh completion of hmbench: put it as _hmbench into a folder of $fpath\n"
           "_hmbench()\n{\n    local -a commands options places\n    commands=(\n");
    for (const hm_command *c = hm_commands; c->name; c++) {
        printf("        '%s:", c->name);
        print_quoted(c->text, ':');
        printf("'\n");
    }
    printf("    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n"
           "    case $words[CURRENT-1] in\n"
           "    --variant|-V) compadd -- $($words[1] list variants --names 2>/dev/null); return ;;\n"
           "    --model|-m) compadd -- $($words[1] list models --names 2>/dev/null); _files -/; return ;;\n"
           "    esac\n"
           "    if [[ $words[CURRENT] == -* ]]; then\n"
           "        options=(${(f)\"$($words[1] $words[2] --list-options 2>/dev/null | awk -F'\\t' '{gsub(/:/, \"\\\\:\", $3); print $1 \":\" $3}')\"})\n"
           "        _describe option options\n        return\n    fi\n"
           "    case $words[2] in\n");
    for (const hm_command *c = hm_commands; c->name; c++) {
        printf("    %s) places=(", c->name);
        print_words(c->usage);
        printf(") ;;\n");
    }
    printf("    esac\n    if (( CURRENT == 3 && $#places )); then\n        compadd -- $places\n    else\n        _files\n    fi\n}\n"
           "_hmbench \"$@\"\n");
}

static void print_fish(void)
{
    printf("# fish completion of hmbench: hmbench completion fish > ~/.config/fish/completions/hmbench.fish\n");
    for (const hm_command *c = hm_commands; c->name; c++) {
        printf("complete -c hmbench -n __fish_use_subcommand -f -a %s -d '", c->name);
        print_quoted(c->text, 0);
        printf("'\ncomplete -c hmbench -n '__fish_seen_subcommand_from %s' -a '", c->name);
        print_words(c->usage);
        printf(" (hmbench %s --list-options 2>/dev/null | cut -f1,3)'\n", c->name);
    }
    printf("complete -c hmbench -l variant -s V -x -a '(hmbench list variants --names 2>/dev/null)'\n"
           "complete -c hmbench -l model -s m -x -a '(hmbench list models --names 2>/dev/null) (__fish_complete_directories)'\n");
}

hm_status hm_cmd_completion(const hm_command *self, int argc, char **argv, hm_error *err)
{
    bool helped;
    hm_strings args = {0};
    hm_status st = hm_options_parse(self, NULL, argc, argv, &args, 1, &helped, err);
    if (st || helped)
        return st;
    const char *shell = args.count ? args.items[0] : "";
    if (!strcmp(shell, "bash"))
        print_bash();
    else if (!strcmp(shell, "zsh"))
        print_zsh();
    else if (!strcmp(shell, "fish"))
        print_fish();
    else
        return hm_fail(err, HM_EUSAGE, "completion: for which shell? expected bash, zsh or fish, found \"%s\"", shell);
    return HM_OK;
}
