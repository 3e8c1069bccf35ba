#include <stdio.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/complete.h"

/* Each script hands over the words typed so far and offers what comes back: `hmbench completion words -- WORD...`, a line per word with
 * what it is after a tab. Where nothing comes back, file names are offered. */
static const char bash_script[] =
    "# bash completion of hmbench: source <(hmbench completion bash)\n"
    "_hmbench()\n"
    "{\n"
    "    local current=${COMP_WORDS[COMP_CWORD]} words\n"
    "    [[ $current == '=' ]] && current=\n"
    "    words=$(\"${COMP_WORDS[0]}\" completion words -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null | cut -f1)\n"
    "    local IFS=$'\\n'\n"
    "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
    "    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null\n"
    "    return 0\n"
    "}\n"
    "complete -o default -F _hmbench hmbench ./hmbench\n";

static const char zsh_script[] =
    "#compdef hmbench\n"
    "# zsh completion of hmbench: put it as _hmbench into a folder of $fpath\n"
    "_hmbench()\n"
    "{\n"
    "    local -a found\n"
    "    local line\n"
    "    for line in ${(f)\"$($words[1] completion words -- ${(@)words[2,CURRENT]} 2>/dev/null)\"}; do\n"
    "        found+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\")\n"
    "    done\n"
    "    if (( $#found )); then\n"
    "        _describe hmbench found\n"
    "    else\n"
    "        _files\n"
    "    fi\n"
    "}\n"
    "_hmbench \"$@\"\n";

static const char fish_script[] =
    "# fish completion of hmbench: hmbench completion fish > ~/.config/fish/completions/hmbench.fish\n"
    "function __hmbench_words\n"
    "    set -l typed (commandline -opc)\n"
    "    $typed[1] completion words -- $typed[2..-1] (commandline -ct) 2>/dev/null\n"
    "end\n"
    "complete -c hmbench -a '(__hmbench_words)'\n";

hm_status hm_cmd_completion(const hm_command *self, int argc, char **argv, hm_error *err)
{
    bool helped;
    hm_strings args = {0};
    hm_status st = hm_options_parse(self, NULL, argc, argv, &args, 256, &helped, err);
    if (st || helped)
        return st;
    const char *shell = args.count ? args.items[0] : "";
    if (!strcmp(shell, "words")) { /* what the scripts ask */
        hm_complete((char *const *)args.items + 1, args.count - 1, stdout);
        return HM_OK;
    }
    if (args.count > 1)
        return hm_fail(err, HM_EUSAGE, "completion: one shell at a time: bash, zsh or fish");
    if (!strcmp(shell, "bash"))
        fputs(bash_script, stdout);
    else if (!strcmp(shell, "zsh"))
        fputs(zsh_script, stdout);
    else if (!strcmp(shell, "fish"))
        fputs(fish_script, stdout);
    else
        return hm_fail(err, HM_EUSAGE, "completion: for which shell? expected bash, zsh or fish, found \"%s\"", shell);
    return HM_OK;
}
