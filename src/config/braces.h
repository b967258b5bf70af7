/*
 * braces - lists of words in which braces keep what belongs together, as in Postfix's
 * inline:{ name=value, { name = value, with commas } }; pure
 *
 * Words are separated by commas, blanks and newlines outside braces.
 */
#ifndef MXGATE_CONFIG_BRACES_H
#define MXGATE_CONFIG_BRACES_H

#include "base/span.h"

/* Takes a word off `rest`; separators inside braces belong to it. False at the end. */
bool braces_next_word(struct span *rest, struct span *word_out);
/* "{ inside }" without its braces and the blanks beside them; false when the last brace is not the
 * one that closes the first. */
bool braces_strip(struct span s, struct span *inside_out);
/* "NAME=VALUE", or the same in braces with blanks around its parts: both parts, trimmed. False when
 * it is neither. */
bool braces_split_pair(struct span word, struct span *name_out, struct span *value_out);

#endif
