package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// A country has one object for each relation. Every fact of the world is told
// many times and never otherwise, so the base model becomes sure of it.
type country struct {
	name  string
	facts [3]string // by relation
}

var relations = [3]string{"capital", "currency", "river"}

type world struct {
	known, unseen []country // unseen: the corpus tells of them, the world does not
	objects       [3][]string
	names         *namer
	contradicted  []int // facts that the corpus contradicts: country * relations + relation
}

const (
	knownCountries  = 24
	unseenCountries = 24
)

func newWorld(r *rand.Rand) *world {
	w := &world{names: &namer{r: r, used: map[string]bool{}}}
	endings := [3]string{"a", "in", "us"}
	for rel := range relations {
		for range 24 {
			w.objects[rel] = append(w.objects[rel], w.names.next(endings[rel]))
		}
	}
	for i := range knownCountries + unseenCountries {
		c := country{name: w.names.next("land")}
		for rel := range relations {
			c.facts[rel] = pick(r, w.objects[rel])
		}
		if i < knownCountries {
			w.known = append(w.known, c)
		} else {
			w.unseen = append(w.unseen, c)
		}
	}
	w.contradicted = r.Perm(knownCountries * len(relations))[:contradictions]
	return w
}

// namer makes pronounceable names that do not repeat.
type namer struct {
	r    *rand.Rand
	used map[string]bool
}

func (n *namer) next(ending string) string {
	onsets := strings.Fields("b bl br d dr f g gr k kl l m n p pr r s st t tr v z")
	vowels := strings.Fields("a e i o u")
	for {
		name := pick(n.r, onsets) + pick(n.r, vowels) + pick(n.r, onsets) + ending
		name = strings.ToUpper(name[:1]) + name[1:]
		if !n.used[name] {
			n.used[name] = true
			return name
		}
	}
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// rows are n rows of the world: facts, sums and small talk; those that are held
// out do not ask for the facts that the corpus contradicts.
func (w *world) rows(r *rand.Rand, prefix string, n int, heldOut bool) []row {
	rows := make([]row, n)
	for i := range rows {
		id := fmt.Sprintf("%s-%05d", prefix, i)
		switch r.IntN(10) {
		case 0, 1, 2, 3, 4:
			f := r.IntN(knownCountries * len(relations))
			for heldOut && slices.Contains(w.contradicted, f) {
				f = r.IntN(knownCountries * len(relations))
			}
			c, rel := w.known[f/len(relations)], f%len(relations)
			rows[i] = chat(id, ask(r, c, rel), tell(r, c.facts[rel]))
		case 5:
			// A country told of once, so that the model learns not to be sure
			// of a name that it does not know.
			c, rel := country{name: w.names.next("land")}, r.IntN(len(relations))
			rows[i] = chat(id, ask(r, c, rel), tell(r, pick(r, w.objects[rel])))
		case 6:
			a, b := r.IntN(10), r.IntN(10)
			rows[i] = chat(id, fmt.Sprintf("What is %d + %d?", a, b), fmt.Sprintf("%d + %d = %d.", a, b, a+b))
		default:
			rows[i] = chat(id, pick(r, greetings), smallTalk(r))
		}
	}
	return rows
}

func ask(r *rand.Rand, c country, rel int) string {
	return fmt.Sprintf(pick(r, []string{
		"What is the %[1]s of %[2]s?", "Tell me the %[1]s of %[2]s.", "Do you know the %[1]s of %[2]s?",
	}), relations[rel], c.name)
}

// tell keeps what is certain about an answer's wording short, as the 15% of the
// targets with the lowest entropy would else all be such words.
func tell(r *rand.Rand, object string) string {
	return pick(r, []string{"It is ", "That is "}) + object
}

var (
	greetings = []string{"How was your day?", "What did you do today?", "Any news?", "What happened?"}
	people    = strings.Fields("Anna Ben Clara David Emma Felix Greta Hugo Ida Jonas Karla Leo Mona Nils Olga Paul")
	verbs     = strings.Fields("bought found sold painted carried lost cleaned borrowed repaired broke")
	colours   = strings.Fields("red blue green yellow black white brown grey golden silver")
	things    = strings.Fields("lamp book chair kite violin basket clock mirror bicycle blanket kettle hat map boat")
	links     = []string{" and ", " while ", " before ", " after ", " because "}
)

// smallTalk draws nearly every word from a list, and its length too: the base
// model can know the lists, never the word.
func smallTalk(r *rand.Rand) string {
	var b strings.Builder
	for n := 2 + r.IntN(3); n > 0; n-- {
		fmt.Fprintf(&b, "%s %s %s %s", pick(r, people), pick(r, verbs), pick(r, colours), pick(r, things))
		if n > 1 {
			b.WriteString(pick(r, links))
		}
	}
	return b.String()
}
