/* Whether what `eep eplb place` printed holds for the loads it was given, restated here literally:
 * every expert has a slot, log2phy and logcnt are the map's, scores and moves are as docs say.
 * Usage: eplb_check LOAD.json OUT.json [OLDMAP.json EXPERT_BYTES]; the loads are [L][E] or
 * [T][L][E] under `weight` with sizes in the file; EXPERT_BYTES 0: bytes_moved is to be null. */
#include <glib.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

static int failures;

#define expect(what, ...)                                                                          \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            g_printerr(__VA_ARGS__);                                                               \
            g_printerr(" (%s)\n", #what);                                                          \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

static json_t *load(const char *path)
{
    json_error_t where;
    json_t *root = json_load_file(path, 0, &where);
    if (root == NULL) {
        g_printerr("%s:%d: %s\n", path, where.line, where.text);
        exit(2);
    }
    return root;
}

static json_t *at(const json_t *list, size_t i)
{
    return json_array_get(list, i);
}

static size_t size_of(const json_t *root, const char *key)
{
    return (size_t)json_integer_value(json_object_get(root, key));
}

/* weight[layer][expert], summed over windows where there are any. */
static double weight_of(const json_t *weight, size_t layer, size_t expert)
{
    double sum = 0.0;
    if (!json_is_array(at(at(weight, 0), 0)))
        return json_number_value(at(at(weight, layer), expert));
    for (size_t window = 0; window < json_array_size(weight); window++)
        sum += json_number_value(at(at(at(weight, window), layer), expert));
    return sum;
}

static gboolean is_near(double a, double b)
{
    return fabs(a - b) <= 1e-12 * fmax(fabs(a), fabs(b));
}

static gboolean is_active(const json_t *input, size_t rank)
{
    const json_t *active = json_object_get(input, "active_ranks");
    return active == NULL || json_integer_value(at(active, rank)) == 1;
}

/* Slots of the expert in one layer, and that log2phy and logcnt say the same. */
static size_t check_expert(const json_t *out, const json_t *map, size_t layer, json_int_t expert,
                           size_t width)
{
    const json_t *slots = at(at(json_object_get(out, "log2phy"), layer), (size_t)expert);
    size_t count = 0;
    expect(json_array_size(slots) == width, "log2phy[%zu][%lld] is not padded", layer, expert);
    for (size_t slot = 0; slot < json_array_size(map); slot++) {
        if (json_integer_value(at(map, slot)) != expert)
            continue;
        expect(json_integer_value(at(slots, count)) == (json_int_t)slot,
               "log2phy[%zu][%lld][%zu] is not slot %zu", layer, expert, count, slot);
        count++;
    }
    for (size_t i = count; i < width; i++)
        expect(json_integer_value(at(slots, i)) == -1, "log2phy[%zu][%lld] is too long", layer,
               expert);
    expect(count > 0, "layer %zu: expert %lld has no slot", layer, expert);
    expect(json_integer_value(at(at(json_object_get(out, "logcnt"), layer), (size_t)expert)) ==
               (json_int_t)count,
           "logcnt[%zu][%lld]", layer, expert);
    return count;
}

typedef struct {
    double sum, sum_mean, sum_highest;
} Sums;

static void check_layer(const json_t *input, const json_t *out, size_t layer, size_t n_experts,
                        size_t width, Sums *sums)
{
    const size_t R = size_of(input, "num_replicas"), D = size_of(input, "num_gpus");
    const json_t *map = at(json_object_get(out, "phy2log"), layer);
    const json_t *weight = json_object_get(input, "weight");
    g_autofree size_t *count = g_new(size_t, n_experts);
    double mean = 0.0, highest = 0.0, n_active = 0.0;
    expect(json_array_size(map) == R, "phy2log[%zu]: slots", layer);
    for (size_t expert = 0; expert < n_experts; expert++)
        count[expert] = check_expert(out, map, layer, (json_int_t)expert, width);
    for (size_t rank = 0; rank < D; rank++) {
        double rank_load = 0.0;
        for (size_t slot = rank * (R / D); slot < (rank + 1) * (R / D); slot++) {
            const json_int_t expert = json_integer_value(at(map, slot));
            expect((expert >= 0) == is_active(input, rank), "phy2log[%zu][%zu]", layer, slot);
            if (expert >= 0)
                rank_load +=
                    weight_of(weight, layer, (size_t)expert) / (double)count[(size_t)expert];
        }
        n_active += is_active(input, rank);
        mean += rank_load;
        highest = fmax(highest, rank_load);
    }
    mean /= n_active;
    sums->sum += highest > 0.0 ? mean / highest : 1.0;
    sums->sum_mean += mean;
    sums->sum_highest += highest;
    const double hottest = json_number_value(at(json_object_get(out, "hottest"), layer));
    const double bound = json_number_value(at(json_object_get(out, "lower_bound"), layer));
    expect(is_near(hottest, highest), "hottest[%zu]: %.17g, %.17g", layer, hottest, highest);
    expect(bound <= hottest * (1 + 1e-12), "lower_bound[%zu] is above the hottest rank", layer);
    expect(bound >= mean * (1 - 1e-9), "lower_bound[%zu] is below the mean", layer);
}

static json_int_t old_slot(const json_t *old, size_t layer, size_t slot)
{
    const json_t *map = json_is_array(old) ? old : json_object_get(old, "phy2log");
    const json_t *value =
        at(at(map != NULL ? map : json_object_get(old, "physical_to_logical_map"), layer), slot);
    return value != NULL ? json_integer_value(value) : -1;
}

/* Distinct (layer, rank, expert) of the map that the old one lacks. */
static json_int_t count_moves(const json_t *input, const json_t *out, const json_t *old)
{
    const size_t S = size_of(input, "num_replicas") / size_of(input, "num_gpus");
    const json_t *maps = json_object_get(out, "phy2log");
    json_int_t moves = 0;
    for (size_t layer = 0; layer < json_array_size(maps); layer++)
        for (size_t slot = 0; slot < size_of(input, "num_replicas"); slot++) {
            const json_int_t expert = json_integer_value(at(at(maps, layer), slot));
            const size_t first = slot / S * S;
            gboolean is_held = expert < 0;
            for (size_t i = first; i < first + S; i++)
                is_held |= old_slot(old, layer, i) == expert ||
                           (i < slot && json_integer_value(at(at(maps, layer), i)) == expert);
            moves += !is_held;
        }
    return moves;
}

int main(int argc, char **argv)
{
    json_t *input = load(argv[1]), *out = load(argv[2]);
    const json_t *weight = json_object_get(input, "weight");
    const json_t *layers = json_is_array(at(at(weight, 0), 0)) ? at(weight, 0) : weight;
    const size_t n_layers = json_array_size(layers), n_experts = json_array_size(at(layers, 0));
    const json_t *first = at(at(json_object_get(out, "log2phy"), 0), 0);
    json_int_t most = 0;
    Sums sums = {0};
    for (size_t layer = 0; layer < n_layers; layer++) {
        check_layer(input, out, layer, n_experts, json_array_size(first), &sums);
        for (size_t e = 0; e < n_experts; e++)
            most = MAX(most, json_integer_value(at(at(json_object_get(out, "logcnt"), layer), e)));
    }
    expect((size_t)most == json_array_size(first), "log2phy is wider than the largest count");
    const double balance = json_number_value(json_object_get(out, "balancedness"));
    const double vllm = json_number_value(json_object_get(out, "balancedness_vllm"));
    expect(is_near(balance, sums.sum / (double)n_layers), "balancedness %.17g", balance);
    expect(is_near(vllm, sums.sum_highest > 0.0 ? sums.sum_mean / sums.sum_highest : 0.0),
           "balancedness_vllm %.17g", vllm);
    expect(json_number_value(json_object_get(out, "solve_ms")) >= 0.0, "solve_ms");
    expect((argc > 3) == (json_object_get(out, "experts_moved") != NULL), "experts_moved");
    expect((argc > 3) == (json_object_get(out, "bytes_moved") != NULL), "bytes_moved");
    if (argc > 4) {
        json_t *old = load(argv[3]);
        const json_int_t moves = count_moves(input, out, old), bytes = atoll(argv[4]);
        const json_t *moved = json_object_get(out, "bytes_moved");
        expect(json_integer_value(json_object_get(out, "experts_moved")) == moves,
               "experts_moved is not %lld", moves);
        expect(bytes > 0 ? json_integer_value(moved) == moves * bytes : json_is_null(moved),
               "bytes_moved is not that");
        json_decref(old);
    }
    json_decref(input);
    json_decref(out);
    return failures > 0;
}
