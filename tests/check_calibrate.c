/* check_calibrate: temperature scaling. */
#include "learn/calibrate.h"
#include "tests/check.h"

#include <math.h>

enum { N = 6, K = 3 };

static const double p[N * K] = {
    0.7, 0.2, 0.1,    0.5, 0.3, 0.2,      0.1, 0.8, 0.1,
    0.3, 0.3, 0.4,    0.9, 0.05, 0.05,    0.25, 0.6, 0.15
};

/* scipy.optimize.minimize_scalar of the mean loss over T. */
START_TEST(the_likeliest_temperature)
{
    static const int label[N] = { 0, 1, 1, 2, 2, 1 };

    ck_assert_double_eq_tol(calibrate_temperature(p, label, N, K),
                            1.737854, 1e-6);
}
END_TEST

/* log softmax(log p / T) is what T = 1 is to the tempered probabilities. */
START_TEST(undoes_a_temperature)
{
    static const int label[N] = { 0, 1, 1, 2, 2, 1 };
    double plain = calibrate_temperature(p, label, N, K), sharp[N * K];

    for (int i = 0; i < N; i++) {
        double all = 0;

        for (int k = 0; k < K; k++)
            all += pow(p[i * K + k], 2.5);
        for (int k = 0; k < K; k++)
            sharp[i * K + k] = pow(p[i * K + k], 2.5) / all;
    }
    ck_assert_double_eq_tol(calibrate_temperature(sharp, label, N, K),
                            2.5 * plain, 1e-6);
}
END_TEST

START_TEST(stays_within_bounds)
{
    static const int right[N] = { 0, 0, 1, 2, 0, 1 };
    static const int wrong[N] = { 2, 2, 0, 0, 1, 2 };
    static const double sure[K] = { 1, 0, 0 };
    static const int other = 1;

    ck_assert_double_eq_tol(calibrate_temperature(p, right, N, K),
                            TEMPERATURE_LEAST, 1e-6);
    ck_assert_double_eq_tol(calibrate_temperature(p, wrong, N, K),
                            TEMPERATURE_MOST, 1e-6);
    ck_assert_double_eq_tol(calibrate_temperature(sure, &other, 1, K),
                            TEMPERATURE_MOST, 1e-6);
    ck_assert_double_eq(calibrate_temperature(NULL, NULL, 0, K), 1);
}
END_TEST

CHECK_MAIN("calibrate", 10, the_likeliest_temperature, undoes_a_temperature,
           stays_within_bounds)
