# Run by the build: the YAML files of CARDS as one C file, OUT.
set(code "/* Made of src/eval/cards by embed_cards.cmake. */
#include \"eval/card.h\"

static const struct {
    const char *name, *text;
} cards[] = {
")
foreach(card ${CARDS})
  get_filename_component(name ${card} NAME_WE)
  file(READ ${card} text)
  string(REPLACE "\\" "\\\\" text "${text}")
  string(REPLACE "\"" "\\\"" text "${text}")
  string(REPLACE "\n" "\\n\"\n     \"" text "${text}")
  string(APPEND code "    {\"${name}\",\n     \"${text}\"},\n")
endforeach()
string(APPEND code "};

bool tkp__eval_card_at(int32_t i, const char **name, const char **text)
{
    if (i < 0 || (size_t)i >= sizeof(cards) / sizeof(cards[0]))
        return false;
    *name = cards[i].name;
    *text = cards[i].text;
    return true;
}
")
file(WRITE ${OUT} "${code}")
