package lock

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// Lease is a lock in a bucket, where there is no flock: claims (Claims) in a folder
// of its own. Who has it alone holds the claim of number 0, and nobody alive any
// other; those who share it hold a number each, and nobody alive holds 0. Each side
// makes its own claim first and looks for the other's afterwards; what is made in a
// bucket is in every listing from then on, so that one of two sees the other.
type Lease struct {
	claims *Claims
	number int           // of the own claim
	lost   chan struct{} // closed when another has taken over
	over   sync.Once     // closes it
	end    chan struct{} // closed by Close
	ended  chan struct{} // closed when no more life is shown
	first  map[int]int64 // beats of others when they were seen first
	alive  map[int]bool  // others that were seen to beat
}

// Busy is the error of a lease that somebody else has, as far as is known.
type Busy struct {
	Held
	Alive bool // it was seen to show life; false: that is yet to be seen
}

// ErrLost is the cause for which the holder of a lease that was lost ends.
var ErrLost = errors.New("this process showed no life for too long, and another one has gone on in its place: it writes nothing more")

// OpenLease is a process that wants the lock dir, alone or with others that share
// it. Who shows no life for the duration has lost it.
func OpenLease(dir string, shared bool, duration time.Duration) (*Lease, error) {
	claims, err := OpenClaims(dir, duration)
	if err != nil {
		return nil, err
	}
	l := &Lease{claims: claims, lost: make(chan struct{}), first: map[int]int64{}, alive: map[int]bool{}}
	if shared {
		l.number = anyNumber()
	}
	return l, nil
}

// anyNumber is one that nobody else has.
func anyNumber() int { return 1 + rand.IntN(1<<30) }

// Take tries once to get the lock. While another has it, or may have it, the error
// is a *Busy, and Take is to be called again, or Close.
func (l *Lease) Take() error {
	if l.end == nil {
		got, err := l.claims.Take([]int{l.number}, 1)
		if err != nil {
			return err
		}
		if len(got) == 0 {
			return l.busy(l.number)
		}
		l.end, l.ended = make(chan struct{}), make(chan struct{})
		go l.live()
	}
	latest, err := l.claims.latest()
	if err != nil {
		return err
	}
	mine := l.claims.generation(l.number)
	if latest[l.number] != mine {
		return l.overtaken(mine)
	}
	if mine > 0 {
		// The claim before has had its day, and files must not grow in number with runs.
		if err := l.claims.remove(l.number, mine-1); err != nil {
			return err
		}
	}
	for number, generation := range latest {
		if number == l.number || l.number > 0 && number > 0 {
			continue
		}
		path := l.claims.path(number, generation)
		if read(path).Released {
			continue
		}
		// A dead one's claim is taken over: if it lives after all it sees that.
		got, err := l.claims.Take([]int{number}, 1)
		if err != nil {
			return err
		}
		if len(got) == 0 {
			if l.number > 0 {
				// Else each of the two would wait for the other to give up.
				if err := l.Close(); err != nil {
					return err
				}
				l.number = anyNumber()
			}
			return l.busy(number)
		}
		taken := l.claims.generation(number)
		if err := l.claims.dropOne(number); err != nil {
			return err
		}
		if taken == 0 { // its holder had given it back and removed it since the look
			if err := l.claims.remove(number, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// Acquire calls Take until it has the lock, with pauses. Of a holder that may be dead
// it is seen within the lease whether it lives: then the error is the *Busy, unless
// wait is to be had. unsure is told once who is looked at.
func (l *Lease) Acquire(ctx context.Context, wait bool, pause time.Duration, unsure func(Owner)) error {
	for said := false; ; {
		err := l.Take()
		var busy *Busy
		if !errors.As(err, &busy) || busy.Alive && !wait {
			return err
		}
		if !said && !wait {
			said = true
			unsure(busy.Owner)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// Bind is a context that ends with the cause when the lock is lost.
func (l *Lease) Bind(ctx context.Context, cause error) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-l.Lost():
			cancel(cause)
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// overtaken gives up a claim that others have gone past: they came and went between
// look and claim, or this process stood still while it waited. The next Take begins
// anew.
func (l *Lease) overtaken(mine int) error {
	if err := l.beat(); err != nil { // which lets go of it
		return err
	}
	if err := l.Close(); err != nil {
		return err
	}
	if err := l.claims.remove(l.number, mine); err != nil {
		return err
	}
	l.lost, l.over = make(chan struct{}), sync.Once{}
	return l.busy(l.number)
}

// busy says who has the claim of a number.
func (l *Lease) busy(number int) error {
	who, beat, err := l.claims.Holder(number)
	if err != nil {
		return err
	}
	if first, ok := l.first[number]; !ok {
		l.first[number] = beat
	} else if beat >= 0 && beat != first {
		l.alive[number] = true
	}
	return &Busy{Held{l.claims.dir, who}, l.alive[number]}
}

// live shows life until Close.
func (l *Lease) live() {
	defer close(l.ended)
	tick := time.NewTicker(l.claims.lease / 5)
	defer tick.Stop()
	for {
		select {
		case <-l.end:
			return
		case <-tick.C:
			// While the store is away nobody else can take over either.
			l.beat()
		case <-l.lost:
			return
		}
	}
}

// beat shows life, and hears whether another has taken over.
func (l *Lease) beat() error {
	lost, err := l.claims.Beat()
	if len(lost) > 0 {
		l.over.Do(func() { close(l.lost) })
	}
	return err
}

// Check asks now whether the lock is still held: a process that stood still goes on
// for a moment before it hears that another has taken over (ErrLost).
func (l *Lease) Check() error {
	err := l.beat()
	select {
	case <-l.lost:
		return ErrLost
	default:
		return err
	}
}

// Lost is closed when another process has taken the lock over.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Close gives the lock back, or what there is of it.
func (l *Lease) Close() error {
	if l.end == nil {
		return nil
	}
	close(l.end)
	<-l.ended
	l.end = nil
	err := l.claims.Drop()
	if err == nil && l.number > 0 {
		err = l.claims.remove(l.number, 0) // nobody will ever want this number again
	}
	return err
}

// LeaseHolder is who has the lock dir alone, or had it when it died elsewhere, and
// when it showed life last, by its own clock; nil: nobody.
func LeaseHolder(dir string) (*Owner, time.Time, error) {
	c := &Claims{dir: dir}
	latest, err := c.latest()
	g, ok := latest[0]
	if err != nil || !ok {
		return nil, time.Time{}, err
	}
	have := read(c.path(0, g))
	if have.Released || have.Dead() || have.PID == 0 { // the last: it was given back just now
		return nil, time.Time{}, nil
	}
	return &have.Owner, have.At, nil
}
