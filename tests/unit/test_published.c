/* The field's EPLB policies against the programs that were published: what DeepSeek's eplb.py,
 * vLLM's default.py, SGLang's deepseek_vec.py and elasticity_aware.py answered (under torch 1.13
 * and numpy 1.24, sorts made stable) for 2,000 problems each, drawn here as there, one number per
 * 250 maps. tests/eplb/published.py ran them and can do so again. Loads go up to 2^47 and are full
 * of ties and near ties, so that the order of every float32 sum shows. */
#include <check.h>
#include <stdlib.h>

#include "core/eplb/policy.h"

#define N_BLOCKS    8
#define BLOCK       250
#define MAX_SLOTS   512
#define MAX_EXPERTS 320
#define MAX_WINDOWS 40
#define MAX_LAYERS  2
#define MAX_RANKS   24

static const struct {
    const EepEplbPolicy *policy;
    guint64 answers[N_BLOCKS];
} published[] = {
    {&eep_eplb_policy_deepseek,
     {G_GUINT64_CONSTANT(0x202b53a5381b2413), G_GUINT64_CONSTANT(0xda200b94090b6348),
      G_GUINT64_CONSTANT(0x09114186862f33a1), G_GUINT64_CONSTANT(0x2212972dcdb6e7d4),
      G_GUINT64_CONSTANT(0xf8d3c2afffba158e), G_GUINT64_CONSTANT(0xd68b69da85e1aacb),
      G_GUINT64_CONSTANT(0x33439eedbab7a522), G_GUINT64_CONSTANT(0x9cb21e20bfc74c10)}},
    {&eep_eplb_policy_vllm,
     {G_GUINT64_CONSTANT(0xa28f0e710fe5a207), G_GUINT64_CONSTANT(0x5031cdf9aabd8986),
      G_GUINT64_CONSTANT(0x3ea19c6e5b1026e7), G_GUINT64_CONSTANT(0x6d6747c74f6feb62),
      G_GUINT64_CONSTANT(0xa8dbc0481044fc74), G_GUINT64_CONSTANT(0xd81399605047459d),
      G_GUINT64_CONSTANT(0x151f819b038964fd), G_GUINT64_CONSTANT(0x49378f52b2ea6ca3)}},
    {&eep_eplb_policy_deepseek_vec,
     {G_GUINT64_CONSTANT(0x3ed6918403e8b809), G_GUINT64_CONSTANT(0x2a00a117cf275f94),
      G_GUINT64_CONSTANT(0xe9f8bcc90fb4320e), G_GUINT64_CONSTANT(0x1f795b0c50343d98),
      G_GUINT64_CONSTANT(0x4c47db2aa4bae68c), G_GUINT64_CONSTANT(0x5216e227680f68d8),
      G_GUINT64_CONSTANT(0x277bfb15dd91f5aa), G_GUINT64_CONSTANT(0xbc932471b28c7d1c)}},
    {&eep_eplb_policy_elasticity_aware,
     {G_GUINT64_CONSTANT(0x150d5ab546a93bc5), G_GUINT64_CONSTANT(0x213437baedd96b59),
      G_GUINT64_CONSTANT(0x6c7cec5326f204b2), G_GUINT64_CONSTANT(0x0538afa055a7e462),
      G_GUINT64_CONSTANT(0x95559f337a2c07a5), G_GUINT64_CONSTANT(0x56d81185b842184e),
      G_GUINT64_CONSTANT(0xb60573bd036ea306), G_GUINT64_CONSTANT(0x2c82b3a9b3989889)}},
};

static guint64 random_state;

static guint64 random_next(void) /* splitmix64 */
{
    guint64 z = (random_state += G_GUINT64_CONSTANT(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static guint random_below(guint bound)
{
    return (guint)(random_next() % bound);
}

static double draw_load(guint kind, guint index, guint experts)
{
    guint factor;
    switch (kind) {
    case 0:
        return random_below(3);
    case 1:
        factor = random_below(2);
        return factor * random_below(10);
    case 2:
        return 7;
    case 3:
        return random_below(200000);
    case 4:
        return (double)(random_next() >> 17);
    case 5:
        return (1 << 25) + random_below(4);
    case 6:
        return index % experts == experts / 2 ? 1000 : 0;
    case 7:
        return 1000000 / (1 + random_below(1000));
    default:
        return 30000000 + random_below(64);
    }
}

/* load [MAX_WINDOWS * MAX_LAYERS * MAX_EXPERTS] is filled and belongs to the caller. */
static EepEplbProblem draw_problem(gboolean is_windowed, double *load)
{
    EepEplbProblem p = {0};
    do {
        p.n_layers = 1 + random_below(2);
        p.n_groups = 1 + random_below(8);
        p.n_nodes = 1 + random_below(4);
        p.n_ranks = p.n_nodes * (1 + random_below(6));
        p.n_experts = p.n_groups * (1 + random_below(40));
        p.n_replicas = p.n_ranks * (1 + random_below(20));
        p.n_windows = is_windowed ? 1 + random_below(MAX_WINDOWS) : 1;
    } while (p.n_experts > p.n_replicas || p.n_replicas > MAX_SLOTS ||
             (is_windowed && p.n_layers * p.n_experts % 32 != 0));
    const guint kind = random_below(9), cells = p.n_layers * p.n_experts;
    for (guint i = 0; i < p.n_windows * cells; i++)
        load[i] = draw_load(kind, i, p.n_experts);
    p.weight = load; /* with windows, nobody may read it */
    p.windows = load;
    if (!is_windowed)
        p.n_windows = 0;
    return p;
}

static void draw_dead(const EepEplbProblem *p, guint8 *active)
{
    const guint S = p->n_replicas / p->n_ranks, n_tries = random_below(p->n_ranks);
    guint live = p->n_ranks;
    for (guint rank = 0; rank < p->n_ranks; rank++)
        active[rank] = 1;
    for (guint i = 0; i < n_tries; i++) {
        const guint rank = random_below(p->n_ranks);
        if (!active[rank] || (live - 1) * S < p->n_experts)
            continue;
        active[rank] = 0;
        live--;
    }
}

START_TEST(answers_are_the_published_ones)
{
    static double load[MAX_WINDOWS * MAX_LAYERS * MAX_EXPERTS];
    static gint32 map[MAX_LAYERS * MAX_SLOTS];
    const EepEplbPolicy *policy = published[_i].policy;
    guint8 active[MAX_RANKS];
    random_state = (guint64)_i + 1;
    for (guint block = 0; block < N_BLOCKS; block++) {
        guint64 answer = G_GUINT64_CONSTANT(0xcbf29ce484222325); /* FNV-1a */
        for (guint i = 0; i < BLOCK; i++) {
            g_autoptr(GError) error = NULL;
            EepEplbProblem problem = draw_problem(policy->reads_windows, load);
            if (policy->takes_dead_ranks) {
                draw_dead(&problem, active);
                problem.active = active;
            }
            ck_assert_msg(eep_eplb_place(policy, &problem, map, &error), "%s, problem %u: %s",
                          policy->name, block * BLOCK + i, error ? error->message : "");
            for (guint slot = 0; slot < problem.n_layers * problem.n_replicas; slot++)
                answer = (answer ^ (guint32)map[slot]) * G_GUINT64_CONSTANT(0x100000001b3);
        }
        ck_assert_msg(answer == published[_i].answers[block],
                      "%s, problems %u to %u: not the published maps (0x%016" G_GINT64_MODIFIER
                      "x)",
                      policy->name, block * BLOCK, block * BLOCK + BLOCK - 1, answer);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("published");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, answers_are_the_published_ones, 0, G_N_ELEMENTS(published));
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
