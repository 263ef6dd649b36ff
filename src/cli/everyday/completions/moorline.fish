# Completions of moorline for fish: `moorline completions fish | source`.
function __moorline_complete
    set -l typed (commandline -opc)
    set -l last (commandline -ct)
    for line in ($typed[1] complete -- $typed[2..-1] $last 2>/dev/null)
        if string match -q ':files*' -- $line
            __fish_complete_path $last
        else
            echo $line
        end
    end
end
complete -c moorline -f -a '(__moorline_complete)'
