/* What a fuzz target defines; libFuzzer or replay_corpus.c calls it.
 *
 * A target feeds its input to one parser and must leave nothing behind: no files, no memory, no
 * state that changes the next call. Bad input is answered with a GError, which the target frees.
 * One thread. The names and types are libFuzzer's (llvm.org/docs/LibFuzzer.html). */
#ifndef EEP_TESTS_FUZZ_TARGET_H
#define EEP_TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* data: size bytes, never NULL, not terminated. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifdef __cplusplus
}
#endif

#endif
