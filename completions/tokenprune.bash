# Bash completion of tokenprune(1).

_tokenprune_options()
{
    case $1 in
    run)
        echo "--model --image --video --fps --prompt --system --raw --policy --keep" \
            "--keep-ratio --at --stage --fit --scores --compare --repeat --picture" \
            "--json --quiet --max-new-tokens --sample --temperature --top-k --top-p" \
            "--seed --backend --threads --dtype --tiling --help"
        ;;
    select)
        echo "--tensors --policy --keep --keep-ratio --at --stage --layers" \
            "--seed --out --json --backend --threads --help"
        ;;
    eval)
        echo "--model --data --data-root --prompt --template --max-images --store --policy --keep" \
            "--keep-ratio --at --fit --seeds" \
            "--seed --limit --batch --max-new-tokens --quiet --backend --threads" \
            "--dtype --help"
        ;;
    report)
        echo "--store --table --format --out --charts --answers --model --help"
        ;;
    score)
        echo "--data --answers --data-root --metric --partial --details --rounds" \
            "--seed --json --help"
        ;;
    data)
        echo "--data-root --prompt --json --help"
        ;;
    doctor)
        echo "--json --help"
        ;;
    policy)
        echo "--json --help"
        ;;
    esac
}

_tokenprune_cards()
{
    "${COMP_WORDS[0]}" data list 2>/dev/null | cut -d ' ' -f 1
}

_tokenprune_presets()
{
    "${COMP_WORDS[0]}" policy list 2>/dev/null | cut -d ' ' -f 1
}

# Words of the list "$1", and files if $2 is given.
_tokenprune_from()
{
    local word=${COMP_WORDS[COMP_CWORD]}
    mapfile -t COMPREPLY < <(compgen ${2:+-f} -W "$1" -- "$word")
    if [ -n "${2-}" ]; then
        compopt -o filenames 2>/dev/null
    fi
}

_tokenprune()
{
    local command=${COMP_WORDS[1]-}
    local before=${COMP_WORDS[COMP_CWORD - 1]}
    if [ "$COMP_CWORD" -eq 1 ]; then
        _tokenprune_from "run select eval report score data policy doctor help --version --help"
        return
    fi
    case $command:$before in
    help:help)
        _tokenprune_from "run select eval report score data policy doctor"
        ;;
    policy:policy)
        _tokenprune_from "list show check --help"
        ;;
    data:data)
        _tokenprune_from "list show check --help"
        ;;
    data:show | data:check | score:--data | score:-d | eval:--data | eval:-d)
        _tokenprune_from "$(_tokenprune_cards)" files
        ;;
    *:--data-root | *:--answers | *:-a | *:--details)
        _tokenprune_from "" files
        ;;
    policy:show | *:--policy)
        _tokenprune_from "$(_tokenprune_presets)" files
        ;;
    *:--template)
        _tokenprune_from "vicuna_v1 llava_v1 vlmeval_llava hf_llava"
        ;;
    *:--backend)
        _tokenprune_from "auto cpu cuda ref"
        ;;
    report:--table)
        _tokenprune_from "accuracy differences costs kept 1 2 3 5 6"
        ;;
    report:--format)
        _tokenprune_from "md csv tex html"
        ;;
    *:--dtype)
        _tokenprune_from "auto f32 bf16"
        ;;
    *:--tiling)
        _tokenprune_from "transformers original fixed flat"
        ;;
    *:--at)
        _tokenprune_from "projector llm:2 kv"
        ;;
    *:--model | *:-m | *:--image | *:-i | *:--picture | *:--scores | \
        *:--tensors | *:-t | *:--data | *:-d | *:--store | *:-s | *:--charts | *:--answers | *:--out | *:-o | policy:*)
        _tokenprune_from "" files
        ;;
    *)
        _tokenprune_from "$(_tokenprune_options "$command")"
        ;;
    esac
}

complete -F _tokenprune tokenprune
