# Completions of moorline for bash: `source <(moorline completions bash)`.
_moorline() {
    local line word lines=()
    COMPREPLY=()
    # The words up to the cursor, as they are in the line: bash takes `=` for a word of its own.
    local typed=${COMP_LINE:0:COMP_POINT} words=()
    read -r -a words <<<"$typed"
    [[ $typed == *[[:space:]] ]] && words+=("")
    mapfile -t lines < <("${words[0]}" complete -- "${words[@]:1}" 2>/dev/null)
    for line in "${lines[@]}"; do
        word=${line%%$'\t'*}
        if [[ $word == :files ]]; then
            compopt -o default 2>/dev/null
            continue
        fi
        # What stands before `=` is in the line already.
        [[ ${words[-1]} == *=* && $word == *=* ]] && word=${word#*=}
        COMPREPLY+=("$word")
    done
}
complete -F _moorline moorline
