#include <stdio.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/complete.h"

/* Each script hands over the words typed so far and offers what comes back: `hmbench completion words -- WORD...`, a line per word with
 * what it is after a tab. Where nothing comes back, file names are offered. bash makes words of '=' and ':' of their own: they are put
 * together again, and what stands before the last of them is taken off the answers. */
static const char bash_script[] = "# bash completion of hmbench: source <(hmbench completion bash)\n"
                                  "_hmbench()\n"
                                  "{\n"
                                  "    local line=${COMP_LINE:0:COMP_POINT} typed=() rest word i current found before= breaks=\n"
                                  "    for ((i = 0; i <= COMP_CWORD; i++)); do\n"
                                  "        word=${COMP_WORDS[i]}\n"
                                  "        rest=${line#\"${line%%[![:space:]]*}\"}\n"
                                  "        if [[ $i != 0 && -n $word && $rest == \"$line\" ]]; then\n"
                                  "            typed[${#typed[@]}-1]+=$word\n"
                                  "        else\n"
                                  "            typed+=(\"$word\")\n"
                                  "        fi\n"
                                  "        line=${rest#\"$word\"}\n"
                                  "    done\n"
                                  "    current=${typed[${#typed[@]}-1]}\n"
                                  "    [[ $COMP_WORDBREAKS == *:* ]] && breaks+=:\n"
                                  "    [[ $COMP_WORDBREAKS == *=* ]] && breaks+==\n"
                                  "    [[ -n $breaks ]] && before=${current%\"${current##*[$breaks]}\"}\n"
                                  "    found=$(\"${COMP_WORDS[0]}\" completion words -- \"${typed[@]:1}\" 2>/dev/null | cut -f1)\n"
                                  "    COMPREPLY=()\n"
                                  "    while IFS= read -r word; do\n"
                                  "        [[ -n $word && $word == \"$current\"* ]] && COMPREPLY+=(\"${word#\"$before\"}\")\n"
                                  "    done <<<\"$found\"\n"
                                  "    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=:] ]] && compopt -o nospace 2>/dev/null\n"
                                  "    return 0\n"
                                  "}\n"
                                  "complete -o default -F _hmbench hmbench ./hmbench\n";

static const char zsh_script[] =
    "#compdef hmbench\n"
    "# zsh completion of hmbench: put it as _hmbench into a folder of $fpath, or: source <(hmbench completion zsh)\n"
    "_hmbench()\n"
    "{\n"
    "    local -a found open\n"
    "    local line word\n"
    "    for line in ${(f)\"$($words[1] completion words -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)\"}; do\n"
    "        word=${line%%$'\\t'*}\n"
    "        line=\"${word//:/\\\\:}:${line#*$'\\t'}\"\n"
    "        if [[ $word == *[=:] ]]; then open+=(\"$line\"); else found+=(\"$line\"); fi\n"
    "    done\n"
    "    if (( $#found + $#open )); then\n"
    "        (( $#open )) && _describe hmbench open -S ''\n"
    "        (( $#found )) && _describe hmbench found\n"
    "    else\n"
    "        _files\n"
    "    fi\n"
    "}\n"
    "if [[ $funcstack[1] == _hmbench ]]; then _hmbench \"$@\"; else compdef _hmbench hmbench; fi\n";

static const char fish_script[] = "# fish completion of hmbench: hmbench completion fish > ~/.config/fish/completions/hmbench.fish\n"
                                  "function __hmbench_words\n"
                                  "    set -l typed (commandline -opc)\n"
                                  "    $typed[1] completion words -- $typed[2..-1] (commandline -ct) 2>/dev/null\n"
                                  "end\n"
                                  "complete -c hmbench -a '(__hmbench_words)'\n";

hm_status hm_cmd_completion(const hm_command *self, int argc, char **argv, hm_error *err)
{
    static const char *const shells[] = {"bash", "zsh", "fish", NULL};
    char near[HM_SUGGESTION];
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
        return hm_fail(err, HM_EUSAGE, "completion: for which shell? expected bash, zsh or fish, found \"%s\"%s", shell,
                       hm_did_you_mean(near, shell, shells));
    return HM_OK;
}
