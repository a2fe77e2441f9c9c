/* Release in Promela, for SPIN 6: GRANTS grants, KEEPERS keepers of whom THRESHOLD are needed and the first DISHONEST are
 * dishonest. An abstraction of contract and keepers, written apart from the Python model: a keeper decides from the grant's
 * state, and what is known is a set of shares. Every grant has its own recipient, which is the strongest one (recipients
 * share nothing; the shares of dishonest keepers are known from the start).
 *
 *   spin -a release.pml && cc -O2 -DCOLLAPSE -DSAFETY -o pan pan.c && ./pan -m200000
 *
 * -DWRONG=1 shares are shown after the own commit; 2 commits are taken after a revocation; 3 commits are counted, not
 * keepers. SPIN finds an assertion violated in each, and with -DDISHONEST=2, as many as are needed.
 */
#ifndef GRANTS
#define GRANTS 4
#endif
#ifndef KEEPERS
#define KEEPERS 3
#endif
#ifndef THRESHOLD
#define THRESHOLD 2
#endif
#ifndef DISHONEST
#define DISHONEST 1
#endif
#ifndef REQUESTS
#define REQUESTS 2
#endif
#ifndef WRONG
#define WRONG 0
#endif

typedef Grant {
  byte seq;       /* requests so far */
  byte released;  /* who ever committed */
  byte answered;  /* who committed to the newest request */
  byte commits;   /* how many commits there were */
  byte shown;     /* honest keepers whose share became public, sealed to a key of the recipient */
  bool opened;
  bool revoked;
  bool intime     /* revoked before it was opened */
};

Grant grant[GRANTS];
bool expired;     /* all grants but the first expire */

#define BIT(i) (1 << (i))
#define USABLE(g) ((!grant[g].revoked || WRONG == 2) && !(expired && g > 0))

/* Shares that the recipient of g knows: those of dishonest keepers, and those shown to it. */
inline count(bits, result) {
  result = 0;
  for (j : 0 .. KEEPERS - 1) { if :: bits & BIT(j) -> result++ :: else fi }
}

inline check(g) {
  count(grant[g].shown | (BIT(DISHONEST) - 1), known);
  count(grant[g].released, distinct);
  /* P4: the key only with a request and t distinct keepers' commits */
  assert(known < THRESHOLD || (grant[g].seq > 0 && distinct >= THRESHOLD));
  /* P5: never after a revocation that came before the t-th commit */
  assert(known < THRESHOLD || !grant[g].intime)
}

inline commit(g, i) {
  grant[g].released = grant[g].released | BIT(i);
  grant[g].answered = grant[g].answered | BIT(i);
  if :: grant[g].commits < 7 -> grant[g].commits++ :: else fi;
  count(grant[g].released, distinct);
  if
  :: !grant[g].opened && (distinct >= THRESHOLD || (WRONG == 3 && grant[g].commits >= THRESHOLD)) -> grant[g].opened = true
  :: else
  fi
}

active proctype world() {
  byte g, i, j, known, distinct;
  atomic { check(0); j = 0; known = 0; distinct = 0 };
  do
  :: atomic { !expired -> expired = true }
  :: atomic {
       /* the owner revokes all that is live, as a rotation may */
       g = 0;
       do
       :: g < GRANTS ->
            if
            :: !grant[g].revoked -> grant[g].intime = !grant[g].opened; grant[g].revoked = true
            :: else
            fi;
            g++
       :: else -> break
       od;
       g = 0; i = 0; j = 0; known = 0; distinct = 0
     }
  :: atomic {
       select (g : 0 .. GRANTS - 1);
       if
       :: USABLE(g) && grant[g].seq < REQUESTS -> grant[g].seq++; grant[g].answered = 0
       :: !grant[g].revoked -> grant[g].intime = !grant[g].opened; grant[g].revoked = true
       :: else
       fi;
       check(g);
       g = 0; i = 0; j = 0; known = 0; distinct = 0
     }
  :: atomic {
       /* a keeper commits: honest or not, the contract takes it */
       select (g : 0 .. GRANTS - 1);
       select (i : 0 .. KEEPERS - 1);
       if
       :: USABLE(g) && grant[g].seq > 0 && !(grant[g].answered & BIT(i)) -> commit(g, i); check(g)
       :: else
       fi;
       g = 0; i = 0; j = 0; known = 0; distinct = 0
     }
  :: atomic {
       /* an honest keeper that has committed shows its share, once the grant is opened */
       select (g : 0 .. GRANTS - 1);
       select (i : DISHONEST .. KEEPERS - 1);
       if
       :: (grant[g].released & BIT(i)) && (grant[g].opened || WRONG == 1) ->
            grant[g].shown = grant[g].shown | BIT(i);
            check(g)
       :: else
       fi;
       g = 0; i = 0; j = 0; known = 0; distinct = 0
     }
  od
}
