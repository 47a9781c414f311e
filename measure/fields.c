/* SPDX-License-Identifier: BSD-2-Clause */
#include "report_parts.h"

#include <assert.h>
#include <string.h>

#define FIELD(member, label, meaning)                                            \
	{                                                                        \
#member, label, meaning, offsetof(struct report_counted, member) \
	}

/* clang-format off */
const struct counted_field counted_fields[] = {
	FIELD(steps, "steps", "requests that the workload made: the clock of exposure"),
	FIELD(requests_satisfied, "satisfied requests",
	      "requests that found every page in the right state already"),
	FIELD(hypercalls_share, "share calls", "MEM_SHARE hypercalls, one a 4 KiB page"),
	FIELD(hypercalls_unshare, "unshare calls", "MEM_UNSHARE hypercalls, one a 4 KiB page"),
	FIELD(hypercalls_failed, "failed calls", "hypercalls that the hypervisor refused"),
	FIELD(ranged_calls, "ranged calls", "calls that a hypercall with a page count would take"),
	FIELD(exits_donate, "exits", "stage-2 faults that made the host give a page to the guest"),
	FIELD(exits_mmio, "MMIO exits", "exits to the VMM: the guest reporting to the tool"),
	FIELD(pages_requested, "asked for", "pages that requests named"),
	FIELD(pages_satisfied, "satisfied pages",
	      "pages asked for that were in the right state already"),
	FIELD(pages_converted, "converted", "pages shared or unshared, widened ones included"),
	FIELD(pages_widened, "shared unasked", "pages shared although nobody had asked for them by then"),
	FIELD(pages_refused, "refused", "pages asked for that did not fill a grain"),
	FIELD(pages_kept, "kept", "pages given back whose grain was still in use"),
	FIELD(exposed_peak, "exposed peak", "most unasked pages open to the host at one time"),
	FIELD(exposed_page_steps, "exposed page-steps",
	      "unasked pages open to the host, summed over all steps"),
	FIELD(exposed_longest, "longest exposed", "steps that the longest-exposed page stayed so"),
	FIELD(probes, "probes", "reads of guest memory that the host tried"),
	FIELD(probes_refused, "probes refused", "of those: the MMU refused"),
	FIELD(probes_wrong, "probes wrong", "MMU and tracker disagreed; anything but 0 is a bug"),
	FIELD(folios_whole, "whole folios", "folios with all pages in one state at the end"),
	FIELD(folios_mixed, "mixed folios", "folios with both secure and shared pages at the end"),
	FIELD(holes, "holes", "runs of shared pages inside mixed folios"),
	FIELD(hole_pages, "hole pages", "pages in those runs"),
};
/* clang-format on */

const size_t counted_field_count = sizeof(counted_fields) / sizeof(counted_fields[0]);

static_assert(sizeof(counted_fields) / sizeof(counted_fields[0]) ==
		      sizeof(struct report_counted) / sizeof(uint64_t),
	      "every counter is in the table");

uint64_t counted_get(const struct report_counted *counted, const struct counted_field *field)
{
	uint64_t value;

	memcpy(&value, (const char *)counted + field->offset, sizeof(value));
	return value;
}

void counted_set(struct report_counted *counted, const struct counted_field *field, uint64_t value)
{
	memcpy((char *)counted + field->offset, &value, sizeof(value));
}

void size_name(char name[SIZE_NAME_MAX], unsigned int lg2)
{
	static const char *const unit[] = {"", "K", "M", "G", "T"};

	snprintf(name, SIZE_NAME_MAX, "%u%s", 1U << (lg2 % 10), unit[lg2 / 10 % 5]);
}

bool size_parse(const char *name, unsigned int *lg2)
{
	char wanted[SIZE_NAME_MAX];

	for (unsigned int i = 0; i < REPORT_LEAF_LG2_MAX; i++) {
		size_name(wanted, i);
		if (strcmp(name, wanted) == 0) {
			*lg2 = i;
			return true;
		}
	}
	return false;
}

void count_text(char text[COUNT_TEXT_MAX], uint64_t count)
{
	char digits[COUNT_TEXT_MAX];
	int length = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)count);
	size_t used = 0;

	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0) {
			text[used++] = ',';
		}
		text[used++] = digits[i];
	}
	text[used] = '\0';
}

bool text_printable(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (text[i] < ' ' || text[i] > '~') {
			return false;
		}
	}
	return true;
}

void leaves_write(const struct report_leaves *leaves, FILE *out)
{
	const char *gap = "";
	char name[SIZE_NAME_MAX];

	for (unsigned int lg2 = 0; lg2 < REPORT_LEAF_LG2_MAX; lg2++) {
		if (leaves->count[lg2] != 0) {
			size_name(name, lg2);
			fprintf(out, "%s%s:%llu", gap, name,
				(unsigned long long)leaves->count[lg2]);
			gap = " ";
		}
	}
	if (*gap == '\0') {
		fputs("none", out);
	}
}

uint64_t leaves_sum(const struct report_leaves *leaves)
{
	uint64_t sum = 0;

	for (unsigned int lg2 = 0; lg2 < REPORT_LEAF_LG2_MAX; lg2++) {
		sum += leaves->count[lg2];
	}
	return sum;
}

void print_memory_size(uint64_t bytes, FILE *out)
{
	const uint64_t mib = UINT64_C(1) << 20;

	if (bytes % mib == 0) {
		fprintf(out, "%llu MiB of guest RAM", (unsigned long long)(bytes / mib));
	} else {
		fprintf(out, "%llu bytes of guest RAM", (unsigned long long)bytes);
	}
}

void backing_write(const struct report_backing *backing, FILE *out)
{
	char name[SIZE_NAME_MAX];
	double sum = 0;
	const char *gap = "got ";

	if (backing->requested_lg2 != 0) {
		size_name(name, backing->requested_lg2);
		fprintf(out, "asked for %s folios, ", name);
	}
	for (unsigned int lg2 = 0; lg2 < REPORT_LEAF_LG2_MAX; lg2++) {
		sum += (double)backing->bytes[lg2];
	}
	for (unsigned int lg2 = REPORT_LEAF_LG2_MAX; lg2-- > 0;) {
		if (backing->bytes[lg2] != 0) {
			size_name(name, lg2);
			fprintf(out, "%s%s (%.1f %%)", gap, name,
				100 * (double)backing->bytes[lg2] / sum);
			gap = ", ";
		}
	}
	if (sum == 0) {
		fputs("folio sizes not known", out);
	}
}
