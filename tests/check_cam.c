/* check_cam: heat maps. */
#include "learn/cam.h"
#include "tests/netcheck.h"

enum { N = 2, SIZE = 8, SIDE = 10 };

/*
 * PyTorch 2 in float64 on the same numbers: autograd of output 0 and 1 of
 * picture 0 and 1 by the relu of conv, mean over pixels, weighted sum, relu,
 * scaled to 1, interpolate(bilinear, align_corners=False).
 */
static const struct {
    int i, y, x;
    double v;
} known[] = {
    { 0, 0, 0, 0.396665 }, { 0, 1, 3, 0.549323 }, { 0, 3, 5, 0.257057 },
    { 0, 4, 4, 0.314292 }, { 0, 6, 2, 0.209753 }, { 0, 7, 7, 0.270211 },
    { 0, 2, 6, 0.105372 }, { 1, 0, 0, 0.091734 }, { 1, 1, 3, 0.062500 },
    { 1, 3, 5, 0.581877 }, { 1, 4, 4, 0.334762 }, { 1, 6, 2, 0.437910 },
    { 1, 7, 7, 0 },        { 1, 2, 6, 0.217899 }
};

static void
maps_on(const char *device)
{
    static const int class[N] = { 0, 1 };
    static float map[N * SIDE * SIDE];
    struct backend_conf conf = { .dtype = DTYPE_F32, .threads = 1,
                                 .device = -1, .keep = true };
    struct model m = { 0 };
    struct err e = { 0 };
    struct backend *b = backend_open(device, &conf, &e);
    struct net net = { 0 };
    struct side s;

    ck_assert_msg(b != NULL, "%s", e.text);
    net_parse(&net, "input x channels=1 size=8\n"
                    "conv a x out=4 kernel=3 stride=2 pad=1\nrelu r a\n"
                    "avgpool p r size=2\nlinear h p out=5\nrelu hr h\n"
                    "dropout d hr p=0.5\nlinear fc d out=3", N);
    side_open(&s, b, &net, MODE_EVAL);
    side_run(&s, &net.feed);
    m.params = net.params;
    memset(map, 0, sizeof map);
    ck_assert_msg(cam_add(s.plan, &m, class, SIDE, map, &e) == 0, "%s",
                  e.text);
    for (size_t k = 0; k < ARRAY_LEN(known); k++) {
        int y = known[k].y + (SIDE - SIZE) / 2;
        int x = known[k].x + (SIDE - SIZE) / 2;

        ck_assert_double_eq_tol(
            (double)map[(known[k].i * SIDE + y) * SIDE + x], known[k].v,
            2e-5);
    }
    for (int i = 0; i < SIDE; i++)      /* the border is not the network's */
        ck_assert(map[i] == 0 && map[i * SIDE] == 0);
    side_close(&s);
    net_release(&net);
    backend_close(b);
}

START_TEST(a_map_is_that_of_pytorch)
{
    maps_on("ref");
    maps_on("cpu");
}
END_TEST

START_TEST(the_share_inside_a_mask)
{
    const float map[4] = { 1, 0.5f, 0.25f, 0.25f }, nothing[4] = { 0 };
    const uint8_t mask[4] = { 127, 128, 255, 0 }, none[4] = { 0 };

    ck_assert_double_eq(cam_inside(map, mask, 2), 0.375);
    ck_assert(isnan(cam_inside(map, none, 2)));
    ck_assert(isnan(cam_inside(nothing, mask, 2)));
}
END_TEST

START_TEST(a_picture_is_painted)
{
    const uint8_t px[9] = { 0, 100, 200, 10, 20, 30, 40, 50, 60 };
    const uint8_t mask[9] = { 255, 0, 0, 0, 0, 0, 0, 0, 0 };
    const float map[9] = { 0, 0, 0, 0, 2, 0, 0, 0, 1 };
    struct image m = { 0 };

    cam_paint(&m, px, 1, 3, map, mask);
    ck_assert(m.w == 3 && m.h == 3 && m.c == 3);
    ck_assert_int_eq(m.px[0], 255);             /* outline */
    ck_assert_int_eq(m.px[3], 100);             /* nothing: the picture */
    ck_assert_int_eq(m.px[3 * 4], 171);         /* .35 * 20 + .65 * 252 */
    ck_assert_int_eq(m.px[3 * 4 + 2], 114);     /* .35 * 20 + .65 * 164 */
    ck_assert_int_eq(m.px[3 * 8], 102);         /* .675 * 60 + .325 * 188 */
    image_release(&m);
}
END_TEST

CHECK_MAIN("cam", 20, a_map_is_that_of_pytorch, the_share_inside_a_mask,
           a_picture_is_painted)
