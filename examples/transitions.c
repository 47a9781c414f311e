/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest shares one page of a 2 MiB folio, and takes it back: what the host can reach, as page tables,
 * before, between and after. The back end is busy once.
 */
#include <stdio.h>
#include <stdlib.h>

#include <stage2/arm64.h>
#include <stage2/stage2.h>

static void *table_alloc(void *cookie, size_t size)
{
	(void)cookie;
	return aligned_alloc(size, size);
}

static void *track_alloc(void *cookie, size_t size)
{
	(void)cookie;
	return malloc(size);
}

static void give_back(void *cookie, void *ptr, size_t size)
{
	(void)cookie;
	(void)size;
	free(ptr);
}

static void flush(void *cookie, const struct s2_flush *flush, size_t count)
{
	(void)cookie;
	for (size_t i = 0; i < count; i++) {
		printf("  flush %#llx, %#llx bytes\n", (unsigned long long)flush[i].range.start.val,
		       (unsigned long long)flush[i].range.len);
	}
}

static void print_line(void *cookie, const char *text)
{
	(void)cookie;
	printf("  %s\n", text);
}

/* A hypervisor makes its hypercall here, an s390 host its Ultravisor call. */
static struct s2_answer convert(void *cookie, enum s2_move move, struct s2_range range)
{
	unsigned *busy = cookie;

	if (*busy > 0) {
		(*busy)--;
		return (struct s2_answer){S2_REPLY_BUSY, 0};
	}
	printf("  %s %#llx, %#llx bytes\n", s2_move_name(move), (unsigned long long)range.start.val,
	       (unsigned long long)range.len);
	return (struct s2_answer){S2_REPLY_OK, range.len};
}

static void must(enum s2_err err)
{
	if (err != S2_OK) {
		fprintf(stderr, "transitions: %s\n", s2_strerror(err));
		exit(1);
	}
}

/* Goes on until the back end has let go. */
static void request(struct s2_engine *engine, enum s2_move move, struct s2_range range)
{
	const struct s2_request request = {
		.move = move, .range = range, .grain = S2_GRAIN_FOLIO, .policy = S2_EXACT};
	struct s2_job job = {.phase = S2_JOB_IDLE};
	enum s2_err err = s2_convert(engine, &request, &job);

	while (err == S2_ERR_HELD) {
		printf("  held at %#llx\n", (unsigned long long)job.at.val);
		err = s2_convert_resume(engine, &job);
	}
	must(err);
}

int main(void)
{
	static const struct s2_mmu mmu = {.flush = flush, .flush_max = UINT64_MAX};
	const struct s2_env env = {.alloc = track_alloc, .free = give_back};
	const struct s2_config config = {
		.fmt = &s2_fmt_arm64,
		.features = S2_ARM64_FWB | S2_ARM64_CONT,
		.gpa_bits = 40,
		.tables = {.alloc = table_alloc, .free = give_back},
		.mmu = &mmu,
	};
	const struct s2_run run = {s2_gpa(0x40000000), s2_hpa(0x80000000), 0x200000, 9};
	const struct s2_range page = s2_range(s2_gpa(0x40003000), S2_PAGE_SIZE);
	unsigned busy = 0;
	const struct s2_backend backend = {.convert = convert, .cookie = &busy};
	struct s2_space space;
	struct s2_track track;
	/* What the host can reach: its own pages, and what is shared or sealed. */
	struct s2_view host = {.space = &space,
			       .by_hpa = true,
			       .prot = {[S2_NONE] = S2_READ | S2_WRITE,
					[S2_SHARED] = S2_READ | S2_WRITE,
					[S2_EXPORTED] = S2_READ | S2_WRITE},
			       .rejoin = S2_REJOIN_AT_ONCE};
	struct s2_engine engine = {
		.track = &track, .runs = &run, .run_count = 1, .backend = &backend, .host = &host};

	must(s2_space_init(&space, &config));
	must(s2_view_init(&host));
	must(s2_track_init(&track, &env, s2_run_range(&run)));
	must(s2_map(&space, &(struct s2_run){s2_gpa(run.hpa.val), run.hpa, run.len, 9}, 1,
		    S2_READ | S2_WRITE, S2_MEM_NORMAL, &host.gather, NULL));

	puts("the host's, then the guest's:");
	request(&engine, S2_DONATE, s2_run_range(&run));
	puts("the guest shares a page:");
	request(&engine, S2_SHARE, page);
	s2_dump(&space, print_line, NULL);
	puts("takes it back, while somebody holds it:");
	busy = 1;
	request(&engine, S2_UNSHARE, page);
	puts("and dies:");
	request(&engine, S2_RECLAIM, s2_run_range(&run));
	s2_dump(&space, print_line, NULL);

	s2_track_fini(&track);
	s2_view_fini(&host);
	s2_space_fini(&space);
	return 0;
}
