/* Expected CRCs: Pillow 13 and NumPy (float32) on the same noise. */
#include "check.h"
#include "noise.h"

#include "data/recipe.h"

#include <string.h>
#include <zlib.h>

static void
parses(struct recipe *r, const char *text)
{
    struct err e = { 0 };

    ck_assert_msg(recipe_parse(r, text, &e) == 0, "%s", e.text);
}

START_TEST(text_comes_back)
{
    static const char *const lines[] = {
        "resize=256x256 crop=224 channels=1 mean=0.5 std=0.5",
        "resize=256 crop=256 channels=1 mean=0 std=1",
        "resize=300x260 crop=1 channels=3 mean=0.485,0.456,0.406 "
        "std=0.229,0.224,0.225",
        "resize=32 crop=32 channels=3 mean=0.1 std=0.3333333",
        "resize=256 crop=256 channels=1 mean=-1.5 std=1e-05",
    };

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct str s = { 0 };
        struct recipe r, again;

        parses(&r, lines[i]);
        recipe_print(&r, &s);
        ck_assert_str_eq(s.text, lines[i]);
        parses(&again, s.text);
        ck_assert_mem_eq(&again, &r, sizeof r);
        str_release(&s);
    }
}
END_TEST

START_TEST(nonsense_is_refused)
{
    static const char *const lines[] = {
        "",
        "resize=256x256 crop=224 channels=1 mean=0.5",
        "resize=256x256 crop=224 channels=1 mean=0.5 std=0.5 crop=3",
        "resize=256x256  crop=224 channels=1 mean=0.5 std=0.5",
        "resize=256x256 crop=224 channels=2 mean=0.5 std=0.5",
        "resize=256x256 crop=224 channels=4 mean=0.5 std=0.5",
        "resize=256x256 crop=0 channels=1 mean=0.5 std=0.5",
        "resize=256x256 crop=257 channels=1 mean=0.5 std=0.5",
        "resize=256x200 crop=224 channels=1 mean=0.5 std=0.5",
        "resize=256x crop=224 channels=1 mean=0.5 std=0.5",
        "resize=x256 crop=224 channels=1 mean=0.5 std=0.5",
        "resize=256x256x256 crop=224 channels=1 mean=0.5 std=0.5",
        "resize=99999999999 crop=224 channels=1 mean=0.5 std=0.5",
        "resize=256x256 crop=224 channels=1 mean=0.5 std=0",
        "resize=256x256 crop=224 channels=1 mean=0.5 std=-1",
        "resize=256x256 crop=224 channels=1 mean=nan std=0.5",
        "resize=256x256 crop=224 channels=1 mean=1e9 std=0.5",
        "resize=256x256 crop=224 channels=1 mean=0.5 std=1e-45",
        "resize=256x256 crop=224 channels=1 mean=0.5,0.5,0.5 std=0.5",
        "resize=256x256 crop=224 channels=3 mean=0.5,0.5 std=0.5",
        "resize=256x256 crop=224 channels=3 mean=1,2,3,4 std=0.5",
        "resize=256x256 crop=224 channels=1 mean= std=0.5",
        "resize=256x256 crop=224 channels=1 mean=0.5 std=0.5 more=1",
    };

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct err e = { 0 };
        struct recipe r;

        ck_assert_msg(recipe_parse(&r, lines[i], &e) == -1, "%s", lines[i]);
        ck_assert_int_eq(e.status, EXIT_USAGE);
    }
}
END_TEST

START_TEST(steps_equal_pillow)
{
    static const struct {
        const char *line;
        size_t nbytes;
        uint32_t crc;
    } cases[] = {
        { "resize=32x32 crop=24 channels=1 mean=0.5 std=0.5", 24 * 24,
          0xbbdbb9cb },
        { "resize=32 crop=32 channels=1 mean=0.5 std=0.5", 32 * 32,
          0x5b6ad1e7 },
        { "resize=40x36 crop=32 channels=3 mean=0.5 std=0.5", 32 * 32 * 3,
          0x3052238b },
    };
    struct image m;
    uint8_t out[32 * 32 * 3];

    image_init(&m, 61, 47, 3);
    noise(m.px, 61 * 47 * 3, 12);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = { 0 };
        struct recipe r;

        parses(&r, cases[i].line);
        ck_assert_int_eq(recipe_apply(&r, &m, out, &e), 0);
        ck_assert_uint_eq(crc32(0, out, (uInt)cases[i].nbytes),
                          cases[i].crc);
    }
    image_release(&m);
}
END_TEST

START_TEST(odd_shapes)
{
    struct err e = { 0 };
    struct recipe r;
    struct image m;
    uint8_t out[32 * 32];

    parses(&r, "resize=32 crop=32 channels=1 mean=0.5 std=0.5");
    image_init(&m, 1, 513, 1);      /* 32 x 16416 */
    ck_assert_int_eq(recipe_apply(&r, &m, out, &e), -1);
    ck_assert_int_eq(e.status, EXIT_INVALID);
    image_release(&m);
    image_init(&m, 512, 1, 1);      /* 16384 x 32 */
    ck_assert_int_eq(recipe_apply(&r, &m, out, &e), 0);
    image_release(&m);
}
END_TEST

START_TEST(gray_fills_all_channels)
{
    struct err e = { 0 };
    struct recipe one, three;
    struct image m;
    uint8_t gray[24 * 24], out[24 * 24 * 3];

    parses(&one, "resize=32x28 crop=24 channels=1 mean=0.5 std=0.5");
    parses(&three, "resize=32x28 crop=24 channels=3 mean=0.5 std=0.5");
    image_init(&m, 61, 47, 1);
    noise(m.px, 61 * 47, 12);
    ck_assert_int_eq(recipe_apply(&one, &m, gray, &e), 0);
    ck_assert_int_eq(recipe_apply(&three, &m, out, &e), 0);
    for (int i = 0; i < 24 * 24 * 3; i++)
        ck_assert_uint_eq(out[i], gray[i / 3]);
    image_release(&m);
}
END_TEST

START_TEST(levels_equal_numpy)
{
    static const struct {
        const char *mean, *std;
        uint32_t crc;
    } cases[] = {
        { "0.5", "0.5", 0xb62c8544 },    { "0.485", "0.229", 0x3fb36a59 },
        { "0.456", "0.224", 0xc0f51e01 }, { "0.406", "0.225", 0x8060ccff },
        { "0", "1", 0xb438ec03 },        { "0.3333", "0.0771", 0xf140652f },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        float level[256];
        struct recipe r;
        char *line = str_format("resize=8 crop=8 channels=1 mean=%s std=%s",
                                cases[i].mean, cases[i].std);

        parses(&r, line);
        recipe_levels(&r, 0, level);
        ck_assert_uint_eq(crc32(0, (void *)level, sizeof level),
                          cases[i].crc);
        free(line);
    }
}
END_TEST

CHECK_MAIN("recipe", 20, text_comes_back, nonsense_is_refused,
           steps_equal_pillow, odd_shapes, gray_fills_all_channels,
           levels_equal_numpy)
