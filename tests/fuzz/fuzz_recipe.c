/* Recipes: what is parsed prints as a line that parses to the same. */
#include "fuzz.h"

#include "data/recipe.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = fuzz_text(data, n);
    struct recipe r, again;
    struct str s = { 0 };
    struct err e = { 0 };

    if (recipe_parse(&r, text, &e) == 0) {
        recipe_print(&r, &s);
        if (recipe_parse(&again, s.text, &e) != 0 ||
            again.crop != r.crop || again.width != r.width)
            abort();
        str_release(&s);
    }
    free(text);
    return 0;
}
