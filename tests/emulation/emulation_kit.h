/* For the emulation's tests: a stream to wait on, and a report that is looked at. Each test runs in
 * a process of its own (Check forks), so the environment's switches are set at its start. */
#ifndef EEP_TESTS_EMULATION_EMULATION_KIT_H
#define EEP_TESTS_EMULATION_EMULATION_KIT_H

#include "gpu/emulation/emulated_runtime.h"
#include <check.h>
#include <cuda_runtime_api.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KIT_HAS_SANITIZER 1
#else
#define KIT_HAS_SANITIZER 0
#endif

#define kit_ok(call) ck_assert_int_eq((int)(call), cudaSuccess)

/* Not ready for at most 20 s, then whatever it is. */
static inline cudaError_t kit_wait(cudaStream_t stream)
{
    gint64 end = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    cudaError_t status;
    while ((status = cudaStreamQuery(stream)) == cudaErrorNotReady && g_get_monotonic_time() < end)
        g_usleep(20);
    cudaError_t forgotten = cudaGetLastError();
    (void)forgotten;
    return status;
}

static inline cudaStream_t kit_stream(void)
{
    cudaStream_t stream;
    kit_ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
}

static inline gpointer kit_device(gsize bytes)
{
    void *memory = NULL;
    kit_ok(cudaMalloc(&memory, bytes));
    ck_assert_ptr_nonnull(memory);
    return memory;
}

static inline gpointer kit_pinned(gsize bytes)
{
    void *memory = NULL;
    kit_ok(cudaMallocHost(&memory, bytes));
    ck_assert_ptr_nonnull(memory);
    return memory;
}

/* Device memory with these bytes. */
static inline gpointer kit_upload(gconstpointer bytes, gsize n, cudaStream_t stream)
{
    gpointer memory = kit_device(n);
    kit_ok(cudaMemcpyAsync(memory, bytes, n, cudaMemcpyHostToDevice, stream));
    return memory;
}

/* To pageable memory: the call returns when the bytes are there. */
static inline void kit_download(gpointer bytes, gconstpointer memory, gsize n, cudaStream_t stream)
{
    kit_ok(cudaMemcpyAsync(bytes, memory, n, cudaMemcpyDeviceToHost, stream));
}

/* From here on stderr goes into a file; kit_reported() says if it holds the text. */
static inline void kit_catch_reports(void)
{
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(dup2(fileno(file), STDERR_FILENO), 0);
    fclose(file);
}

static inline gboolean kit_reported(const char *text)
{
    static char held[1 << 16];
    fflush(stderr);
    ssize_t n = pread(STDERR_FILENO, held, sizeof(held) - 1, 0);
    held[MAX(n, 0)] = '\0';
    return strstr(held, text) != NULL;
}

/* A gate on a stream: what comes behind waits until it is opened. */
static inline void kit_gate_wait(gpointer is_open)
{
    while (g_atomic_int_get((gint *)is_open) == 0)
        g_usleep(50);
}

static inline void kit_gate(cudaStream_t stream, gint *is_open)
{
    kit_ok(eep_emulated_enqueue(stream, "gate", kit_gate_wait, is_open, NULL));
}

static inline int kit_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}

#endif
