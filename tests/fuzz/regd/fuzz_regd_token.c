/* Scopes that clients ask for, and claims of tokens. */
#include <assert.h>
#include <string.h>

#include "common/json.h"
#include "regd/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const char *text, size_t n)
{
	static char *audience[] = { "a" };
	static const struct conf_list audiences = { .items = audience, .n = 1 };
	struct token_demand d = { "i", &audiences, 1000, 60, n % 2 };
	_cleanup_(json_freep) json_t *claims = NULL;
	struct err e = ERR_INIT;
	struct token *t = NULL;

	if (json_load_limited(&claims, NULL, text, n, 0, &e) < 0)
		return;
	if (token_judge(&t, claims, &d, &e) == 0)
		assert(t->expires > 1000 && t->scope.n <= SCOPE_GRANTS_MAX);
	else
		assert(!t && e.text[0]);
	token_unref(t);
}

/* What was parsed is the same again after the way through JSON. */
static void ask(const char *text)
{
	struct scope s = { .grants = NULL }, back = { .grants = NULL };

	if (scope_parse(&s, text) == 0) {
		_cleanup_(json_freep) json_t *access = scope_to_json(&s);

		assert(scope_from_json(&back, access) == 0);
		assert(back.n == s.n && back.catalog == s.catalog);
		for (size_t i = 0; i < s.n; i++)
			assert(scope_rights(&back, s.grants[i].repository) ==
			    s.grants[i].rights);
	}
	scope_deinit(&s);
	scope_deinit(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[4096];

	judge((const char *)data, size);
	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	ask(text);
	return 0;
}
