#compdef moorline
# Completions of moorline for zsh: `source <(moorline completions zsh)`, or as _moorline in a folder of $fpath.
_moorline() {
    local line word meaning files=0
    local -a found shown
    for line in "${(@f)$("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        [[ -z $line ]] && continue
        word=${line%%$'\t'*}
        meaning=${line#*$'\t'}
        if [[ $word == :files ]]; then
            files=1
            continue
        fi
        found+=("$word")
        shown+=("$word${meaning:+  -- $meaning}")
    done
    (( ${#found} )) && compadd -l -d shown -a found
    (( files )) && _files
    return 0
}
(( $+functions[compdef] )) && compdef _moorline moorline
