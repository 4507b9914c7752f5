/*
 * A plugin of QEMU's user-mode emulation (-plugin) that counts instructions.
 *
 *     -plugin count.so,counts=FILE,blocks=FILE
 *
 * counts: a file of 4096 bytes that is mapped, so that others may read it at any
 * time: 512 numbers of 64 bits, one for each thread; their sum is the count.
 * blocks: written at the end, a line for each block of code that ran:
 * ADDRESS INSTRUCTIONS TIMES. Each thread counts for itself, so that none is lost.
 *
 * What it calls is declared here, as the interface of version 1 has it: Debian
 * has no package with the header.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
enum { NO_REGISTERS = 0 };

typedef void (*translated_t)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*executed_t)(unsigned, void *);
typedef void (*ended_t)(qemu_plugin_id_t, void *);

extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translated_t);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, executed_t, int, void *);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, ended_t, void *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t, const qemu_info_t *, int, char **);

/* A node has about ten threads; beyond the table they share the last place. */
#define THREADS 512
/* Blocks of code: a node has some 40,000. What finds no place is still counted in
 * the sum. */
#define BLOCKS (1u << 18)

struct block {
    uint64_t address;
    uint64_t instructions;
    uint64_t times;
};

static uint64_t *counts;
static struct block *blocks;
static const char *blocks_file;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void executed(unsigned cpu, void *data)
{
    struct block *block = data;
    counts[cpu < THREADS ? cpu : THREADS - 1] += block->instructions;
    __atomic_fetch_add(&block->times, 1, __ATOMIC_RELAXED);
}

/* The place of a block of code, a new one if it was not translated before. */
static struct block *place(uint64_t address, uint64_t instructions)
{
    static struct block spare[4096];
    uint32_t at = (uint32_t)((address ^ (instructions << 40)) * 0x9e3779b97f4a7c15u >> 46);

    for (unsigned tries = 0; tries < 64; tries++, at = (at + 1) % BLOCKS) {
        struct block *block = &blocks[at];
        if (!block->instructions) {
            block->address = address;
            block->instructions = instructions;
            return block;
        }
        if (block->address == address && block->instructions == instructions) {
            return block;
        }
    }
    spare[instructions % 4096].instructions = instructions;
    return &spare[instructions % 4096];
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    pthread_mutex_lock(&lock);
    struct block *block = place(qemu_plugin_tb_vaddr(tb), qemu_plugin_tb_n_insns(tb));
    pthread_mutex_unlock(&lock);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, NO_REGISTERS, block);
}

static void ended(qemu_plugin_id_t id, void *data)
{
    (void)id;
    (void)data;
    FILE *out = blocks_file ? fopen(blocks_file, "w") : NULL;
    if (!out) {
        return;
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        if (blocks[i].times) {
            fprintf(out, "%" PRIx64 " %" PRIu64 " %" PRIu64 "\n", blocks[i].address,
                    blocks[i].instructions, blocks[i].times);
        }
    }
    fclose(out);
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    const char *counts_file = NULL;

    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "counts=", 7)) {
            counts_file = argv[i] + 7;
        } else if (!strncmp(argv[i], "blocks=", 7)) {
            blocks_file = strdup(argv[i] + 7);
        }
    }
    int file = counts_file ? open(counts_file, O_RDWR | O_CREAT, 0600) : -1;
    if (file < 0 || ftruncate(file, THREADS * sizeof *counts)) {
        perror("count.so: counts=FILE");
        return 1;
    }
    counts = mmap(NULL, THREADS * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    blocks = calloc(BLOCKS, sizeof *blocks);
    if (counts == MAP_FAILED || !blocks) {
        perror("count.so");
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
