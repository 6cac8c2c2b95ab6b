/* filter.c - see filter.h. A filter is compiled to a list of nodes in which operands stand before their operator. */
#include "filter.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NODES_MAX = 128, DEPTH_MAX = 32, WORDS_MAX = 4096 };

enum op { OP_AND, OP_OR, OP_NOT, OP_EXISTS, OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_CONTAINS };

struct node {
    enum op op;
    struct field field;  /* comparisons and OP_EXISTS */
    const char *literal; /* comparisons: NUL-terminated, in words */
    int left, right;     /* OP_AND, OP_OR, OP_NOT (left) */
};

struct filter {
    struct node nodes[NODES_MAX];
    int n_nodes, root;
    char words[WORDS_MAX]; /* names and literals, each with a NUL */
    size_t n_words;
};

struct parser {
    struct filter *f;
    const char *text, *at;
    int depth;
    struct why *why;
};

/* ---- Reading -------------------------------------------------------------------------------------------------------- */

static int fail(struct parser *p, const char *what)
{
    return why_set(p->why, "%s at column %u: %.40s", what, (unsigned)(p->at - p->text) + 1,
                   *p->at != '\0' ? p->at : "the end");
}

static void skip_blanks(struct parser *p)
{
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n')
        p->at++;
}

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-' || c == ':' || c == '+' || (unsigned char)c >= 0x80;
}

/* Take this operator, a word only if it is not the beginning of a longer one. */
static bool take(struct parser *p, const char *token)
{
    skip_blanks(p);
    size_t n = strlen(token);
    if (strncmp(p->at, token, n) != 0 || (is_word_char(token[0]) && is_word_char(p->at[n])))
        return false;
    p->at += n;
    return true;
}

static bool read_number(double *out, struct tw_span s)
{
    char text[64];
    if (s.len == 0 || s.len >= sizeof text)
        return false;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    char *end;
    *out = text[0] == '0' && (text[1] | 0x20) == 'x' ? (double)strtoull(text, &end, 16) : strtod(text, &end);
    return *end == '\0' && end != text && isfinite(*out); /* "nan" and "inf" are words */
}

static const char *keep(struct parser *p, const char *s, size_t n)
{
    if (WORDS_MAX - p->f->n_words < n + 1)
        return NULL;
    char *out = p->f->words + p->f->n_words;
    memcpy(out, s, n);
    out[n] = '\0';
    p->f->n_words += n + 1;
    return out;
}

static const char *take_word(struct parser *p)
{
    skip_blanks(p);
    size_t n = 0;
    while (is_word_char(p->at[n]))
        n++;
    const char *word = n > 0 ? keep(p, p->at, n) : NULL;
    p->at += word != NULL ? n : 0;
    return word;
}

static const char *take_literal(struct parser *p)
{
    skip_blanks(p);
    char quote = *p->at;
    if (quote != '"' && quote != '\'')
        return take_word(p);
    const char *end = strchr(p->at + 1, quote);
    if (end == NULL)
        return NULL;
    const char *literal = keep(p, p->at + 1, (size_t)(end - p->at - 1));
    p->at = end + 1;
    return literal;
}

static int add_node(struct parser *p, struct node n)
{
    if (p->f->n_nodes == NODES_MAX)
        return fail(p, "the filter is too long");
    p->f->nodes[p->f->n_nodes] = n;
    return p->f->n_nodes++;
}

static int parse_or(struct parser *p);

/* Commands go by number in here, so that a name that is none is said, and not compared in vain. */
static bool command_number(char text[16], const char *name)
{
    static const struct {
        const char *name;
        uint32_t command;
    } shorts[] = {{"START", TW_CMD_SESS_KEY_NEG_START}, /* as the text output calls them */
                  {"RESP", TW_CMD_SESS_KEY_NEG_RESP},
                  {"FINISH", TW_CMD_SESS_KEY_NEG_FINISH}};
    for (size_t i = 0; i < sizeof shorts / sizeof shorts[0]; i++)
        if (strcasecmp(shorts[i].name, name) == 0)
            return snprintf(text, 16, "%u", (unsigned)shorts[i].command) > 0;
    for (uint32_t c = 0; c < 256; c++) {
        const char *known = tw_command_name(c);
        if (known != NULL && strcasecmp(known, name) == 0)
            return snprintf(text, 16, "%u", (unsigned)c) > 0;
    }
    return false;
}

/* The literal that a command is compared with. @return 0; -1: no command has this name, said */
static int resolve_command(struct parser *p, struct node *n)
{
    char number[16];
    double ignored;
    struct tw_span literal = {(const uint8_t *)n->literal, strlen(n->literal)};
    if (!field_is_command(&n->field) || n->op == OP_CONTAINS || read_number(&ignored, literal))
        return 0;
    if (!command_number(number, n->literal))
        return why_set(p->why,
                       "there is no command '%s'; there are names such as CONTROL, STATUS and DP_QUERY_NEW, and "
                       "numbers such as 7 and 0x40",
                       n->literal);
    n->literal = keep(p, number, strlen(number));
    return n->literal != NULL ? 0 : fail(p, "the filter is too long");
}

/* What could only be compared in vain is said. @return 0; -1 and why */
static int check_literal(const struct node *n, const char *name, struct why *why)
{
    double ignored;
    struct tw_span literal = {(const uint8_t *)n->literal, strlen(n->literal)};
    if (n->op == OP_EQ || n->op == OP_NE)
        if (field_check_value(&n->field, n->literal, why) != 0)
            return -1;
    if (n->op != OP_CONTAINS && field_is_number(&n->field) && !read_number(&ignored, literal))
        return why_set(why, "%s is a number, and '%.40s' is none", name, n->literal);
    return 0;
}

static int parse_comparison(struct parser *p)
{
    static const struct {
        const char *token;
        enum op op;
    } ops[] = {{"==", OP_EQ},
               {"!=", OP_NE},
               {"<=", OP_LE},
               {">=", OP_GE},
               {"<", OP_LT},
               {">", OP_GT},
               {"contains", OP_CONTAINS},
               {"=", OP_EQ}};
    struct node n = {.op = OP_EXISTS};
    const char *name = take_word(p);
    if (name == NULL)
        return fail(p, "expected a field");
    if (field_compile(&n.field, name, p->why) != 0)
        return -1;
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        if (!take(p, ops[i].token))
            continue;
        n.op = ops[i].op;
        n.literal = take_literal(p);
        if (n.literal == NULL)
            return fail(p, "expected a value");
        if (resolve_command(p, &n) != 0)
            return -1;
        if (check_literal(&n, name, p->why) != 0)
            return -1;
        break;
    }
    return add_node(p, n);
}

static int parse_not(struct parser *p)
{
    if (++p->depth > DEPTH_MAX)
        return fail(p, "too many parentheses");
    int n;
    if (take(p, "!") || take(p, "not")) {
        n = parse_not(p);
        n = n < 0 ? n : add_node(p, (struct node){.op = OP_NOT, .left = n});
    } else if (take(p, "(")) {
        n = parse_or(p);
        if (n >= 0 && !take(p, ")"))
            n = fail(p, "expected ')'");
    } else {
        n = parse_comparison(p);
    }
    p->depth--;
    return n;
}

static int parse_and(struct parser *p)
{
    int left = parse_not(p);
    while (left >= 0 && (take(p, "&&") || take(p, "and"))) {
        int right = parse_not(p);
        left = right < 0 ? right : add_node(p, (struct node){.op = OP_AND, .left = left, .right = right});
    }
    return left;
}

static int parse_or(struct parser *p)
{
    int left = parse_and(p);
    while (left >= 0 && (take(p, "||") || take(p, "or"))) {
        int right = parse_and(p);
        left = right < 0 ? right : add_node(p, (struct node){.op = OP_OR, .left = left, .right = right});
    }
    return left;
}

int filter_compile(struct filter **out, const char *text, struct why *why)
{
    struct filter *f = calloc(1, sizeof *f);
    if (f == NULL)
        return why_set(why, "out of memory");
    struct parser p = {.f = f, .text = text, .at = text, .why = why};
    f->root = parse_or(&p);
    skip_blanks(&p);
    if (f->root >= 0 && *p.at != '\0')
        f->root = fail(&p, "expected && or ||");
    if (f->root < 0) {
        filter_free(f);
        return -1;
    }
    *out = f;
    return 0;
}

void filter_free(struct filter *f)
{
    free(f);
}

bool filter_wants_body(const struct filter *f)
{
    for (int i = 0; i < f->n_nodes; i++)
        if (f->nodes[i].op >= OP_EXISTS && field_wants_body(&f->nodes[i].field))
            return true;
    return false;
}

/* ---- Judging -------------------------------------------------------------------------------------------------------- */

static int compare_text(struct tw_span a, struct tw_span b)
{
    int c = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

static bool contains(struct tw_span s, struct tw_span part)
{
    for (size_t i = 0; part.len <= s.len && i <= s.len - part.len; i++)
        if (memcmp(s.data + i, part.data, part.len) == 0)
            return true;
    return false;
}

static bool decide(enum op op, int order)
{
    switch (op) {
    case OP_EQ: return order == 0;
    case OP_NE: return order != 0;
    case OP_LT: return order < 0;
    case OP_LE: return order <= 0;
    case OP_GT: return order > 0;
    case OP_GE: return order >= 0;
    default: return false;
    }
}

static bool passes_comparison(const struct node *n, struct seen *s)
{
    struct field_value v;
    struct tw_span literal = {(const uint8_t *)n->literal, strlen(n->literal)};
    double a = 0, b = 0;
    bool literal_is_number = read_number(&b, literal);
    struct field field = n->field;
    struct why why;
    if (field_is_command(&field)) /* by name or by number, whichever was written; names contain digits, too */
        field_compile(&field, literal_is_number && n->op != OP_CONTAINS ? "cmd" : "cmd_name", &why);
    field_get(&v, &field, s);
    if (v.kind == FIELD_NONE)
        return false;
    if (n->op == OP_CONTAINS)
        return contains(v.text, literal);
    /* Ids may consist of digits, more of them than a double tells apart. */
    bool is_text = v.kind == FIELD_TEXT && (n->op == OP_EQ || n->op == OP_NE);
    if (literal_is_number && !is_text && v.kind != FIELD_BOOL && v.kind != FIELD_NULL && read_number(&a, v.text))
        return decide(n->op, (a > b) - (a < b));
    return decide(n->op, compare_text(v.text, literal));
}

static bool passes(const struct filter *f, int i, struct seen *s)
{
    const struct node *n = &f->nodes[i];
    struct field_value v;
    switch (n->op) {
    case OP_AND: return passes(f, n->left, s) && passes(f, n->right, s);
    case OP_OR: return passes(f, n->left, s) || passes(f, n->right, s);
    case OP_NOT: return !passes(f, n->left, s);
    case OP_EXISTS: field_get(&v, &n->field, s); return v.kind != FIELD_NONE;
    default: return passes_comparison(n, s);
    }
}

bool filter_passes(const struct filter *f, struct seen *s)
{
    return passes(f, f->root, s);
}
