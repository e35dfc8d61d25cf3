/* Mean waiting and response times of a pool against closed forms, within 2 %.
 *
 * One engine under a constant step D whose idle steps are free is a queueing system: max_num_seqs
 * is the number of servers, a request of n output tokens is served for n * D (rule 45 of the step
 * semantics), and one that finds a free server begins with the next step.
 *  - max_num_seqs 1, one output token: M/D/1. W = rho D / (2 (1 - rho)).
 *  - max_num_seqs c, outputs of geometric length with mean m: M/M/c as m grows. W = C(c, a) /
 *    (c mu - lambda), with Erlang's C. With c = 1 it is exactly M/Geo/1, whose mean is
 *    Pollaczek and Khinchine's: (1 - 1 / (2 m)) of M/M/1's. With c > 1 an arrival waits for the
 * step's boundary even if a server is free: up to half a step, 0.5 / m of a service time. Each mean
 * is printed with its standard error, from 20 batches, which has to be small enough for 2 % to mean
 * something. */
#include <check.h>
#include <math.h>
#include <stdio.h>

#include "core/math.h"
#include "core/rng.h"
#include "tests/serving/serving_kit.h"

#define STEP      EEP_NS_PER_US
#define N_BATCHES 20
#define TOLERANCE 0.02

typedef struct {
    guint n_servers;
    double rho, mean_output;
    guint64 n_requests;
} System;

typedef struct {
    const System *system;
    EepRng arrivals, lengths;
    double at; /* ns */
    guint64 n_arrived, n_ended;
    double wait_sum[N_BATCHES], response_sum[N_BATCHES]; /* steps */
    guint64 n_in[N_BATCHES];
} Study;

static EepWorkloadStatus next_request(gpointer self, EepArrival *ret_arrival, GError **error)
{
    Study *study = self;
    const System *system = study->system;
    double mean_gap = system->mean_output * STEP / (system->rho * system->n_servers);
    guint32 output = 1;

    if (study->n_arrived == system->n_requests)
        return EEP_WORKLOAD_END;
    study->at += mean_gap * eep_rng_exponential(&study->arrivals);
    /* By inversion: P(output > k) = (1 - 1/m)^k. */
    if (system->mean_output > 1.0)
        output += (guint32)(eep_rng_exponential(&study->lengths) /
                            -eep_log(1.0 - 1.0 / system->mean_output));
    *ret_arrival = (EepArrival){.arrival = (EepTime)study->at,
                                .id = study->n_arrived++,
                                .prompt_tokens = 1,
                                .output_tokens = output};
    return EEP_WORKLOAD_ARRIVAL;
}

/* The first batch is the way into the steady state and not counted. */
static void on_end(gpointer self, const EepRequest *request)
{
    Study *study = self;
    guint64 batch = request->id * N_BATCHES / study->system->n_requests;
    double response = (double)(request->finish - request->arrival) / STEP;

    ck_assert_int_eq(request->fate, EEP_FATE_COMPLETED);
    study->n_ended++;
    study->n_in[batch]++;
    study->response_sum[batch] += response;
    study->wait_sum[batch] += response - request->output_tokens;
}

static void mean_of(const Study *study, const double *sums, double *ret_mean, double *ret_error)
{
    double mean = 0.0, square = 0.0;
    const guint n = N_BATCHES - 1;

    for (guint i = 1; i < N_BATCHES; i++)
        mean += sums[i] / (double)study->n_in[i] / n;
    for (guint i = 1; i < N_BATCHES; i++) {
        double difference = sums[i] / (double)study->n_in[i] - mean;

        square += difference * difference;
    }
    *ret_mean = mean;
    *ret_error = sqrt(square / (n - 1) / n);
}

static void assert_near(const char *name, const Study *study, const double *sums, double expected)
{
    double mean, error;

    mean_of(study, sums, &mean, &error);
    printf("%s, rho %.1f: %.4f steps +- %.4f, closed form %.4f (%+.2f %%)\n", name,
           study->system->rho, mean, error, expected, 100.0 * (mean / expected - 1.0));
    fflush(stdout);
    ck_assert_msg(error < 0.012 * expected, "%s: a standard error of %g is too large", name, error);
    ck_assert_msg(mean > (1.0 - TOLERANCE) * expected && mean < (1.0 + TOLERANCE) * expected,
                  "%s, rho %g: %g instead of %g", name, study->system->rho, mean, expected);
}

static void run_study(const System *system, Study *study)
{
    EepWorkload workload = {next_request, study};
    KitConfig config;

    *study = (Study){.system = system};
    eep_rng_init(&study->arrivals, 20260822, "arrivals");
    eep_rng_init(&study->lengths, 20260822, "lengths");
    kit_config_init(&config);
    config.options.max_num_seqs = system->n_servers;
    config.shape.n_blocks = 1000000000;
    config.costs.step = STEP;
    config.costs.idle_steps_are_free = TRUE;
    config.checks = FALSE;
    config.workload = &workload;
    config.ended = on_end;
    config.self = study;
    g_autoptr(KitRun) run = kit_must_run(&config, NULL, 0);
    ck_assert_uint_eq(study->n_ended, system->n_requests);
    kit_config_clear(&config);
}

START_TEST(m_d_1)
{
    static const System systems[] = {
        {1, 0.3, 1.0, 1000000}, {1, 0.6, 1.0, 1000000}, {1, 0.8, 1.0, 3000000}};
    const System *system = &systems[_i];
    double wait = system->rho / (2.0 * (1.0 - system->rho));
    Study study;

    run_study(system, &study);
    assert_near("M/D/1 wait", &study, study.wait_sum, wait);
    assert_near("M/D/1 response", &study, study.response_sum, wait + 1.0);
}
END_TEST

/* Probability that all c servers are busy at an offered load of a. */
static double erlang_c(guint c, double a)
{
    double blocking = 1.0;

    for (guint k = 1; k <= c; k++)
        blocking = a * blocking / (k + a * blocking);
    return blocking / (1.0 - a / c * (1.0 - blocking));
}

START_TEST(m_m_c)
{
    static const System systems[] = {{1, 0.5, 60.0, 400000},
                                     {1, 0.8, 60.0, 1500000},
                                     {4, 0.5, 100.0, 200000},
                                     {4, 0.8, 100.0, 1600000}};
    const System *system = &systems[_i];
    double m = system->mean_output, c = system->n_servers;
    double wait = erlang_c(system->n_servers, system->rho * c) * m / (c * (1.0 - system->rho));
    g_autofree char *name = g_strdup_printf("M/M/%u", system->n_servers),
                    *waits = g_strconcat(name, " wait", NULL),
                    *responses = g_strconcat(name, " response", NULL);
    Study study;

    run_study(system, &study);
    assert_near(responses, &study, study.response_sum, wait + m);
    /* At c 4 and rho 0.5 the wait is a tenth of a service time: too short against half a step. */
    if (wait > m / 2)
        assert_near(waits, &study, study.wait_sum, wait);
    if (system->n_servers == 1)
        assert_near("M/Geo/1 wait", &study, study.wait_sum, wait * (1.0 - 0.5 / m));
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("closed forms");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, m_d_1, 0, 3);
    tcase_add_loop_test(tcase, m_m_c, 0, 4);
    return kit_main("queueing", tcase);
}
