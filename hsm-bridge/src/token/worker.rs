//! Threads that own sessions. A library may take its time or never come back: whoever asks waits no longer than the deadline, and
//! a queue that is full refuses at once.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use limen_hsm::{HsmError, Kind};
use limen_wire::ids::{HeldId, KekId};

use super::cipher::Keys;
use super::failure::{may_be_stale, verdict};
use super::held::Held as HeldKey;
use super::module::Held;
use super::objects::{self, Identity};
use super::{Fail, Login};

type Job<W> = Box<dyn FnOnce(&mut W) + Send>;

/// Threads, each with a `W` of its own, behind a queue.
struct Queue<W> {
    jobs: SyncSender<Job<W>>,
    deadline: Duration,
    name: String,
    threads: Vec<JoinHandle<()>>,
}

impl<W: 'static> Queue<W> {
    fn start(
        name: String,
        waiting: usize,
        deadline: Duration,
        workers: impl IntoIterator<Item = impl FnOnce() -> W + Send + 'static>,
        restart: fn(&mut W),
    ) -> Result<Self, HsmError> {
        let (sender, jobs) = sync_channel::<Job<W>>(waiting);
        let jobs = Arc::new(Mutex::new(jobs));
        let mut threads = Vec::new();
        for worker in workers {
            let jobs = Arc::clone(&jobs);
            let thread = std::thread::Builder::new().name("token".to_owned());
            let started = thread.spawn(move || work(&jobs, worker(), restart));
            let failed =
                |cause: std::io::Error| HsmError::new(Kind::File, "start a thread", cause.to_string()).because(cause);
            threads.push(started.map_err(failed)?);
        }
        Ok(Self { jobs: sender, deadline, name, threads })
    }

    /// Ends the threads, and tells whether all ended in time.
    fn close(self) -> bool {
        drop(self.jobs);
        let until = Instant::now() + self.deadline;
        while !self.threads.iter().all(JoinHandle::is_finished) {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    fn run<T: Send + 'static>(
        &self,
        tried: &'static str,
        job: impl FnOnce(&mut W) -> Result<T, HsmError> + Send + 'static,
    ) -> Result<T, HsmError> {
        let (answer, answered) = sync_channel(1);
        // Nobody listens any more if it took too long.
        let job: Job<W> = Box::new(move |worker| drop(answer.send(job(worker))));
        let error = |kind, detail: String| Err(HsmError::new(kind, format!("{tried} at {}", self.name), detail));
        match self.jobs.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return error(Kind::Busy, "as many calls wait as may".to_owned()),
            Err(TrySendError::Disconnected(_)) => return error(Kind::Device, "no thread is left for it".to_owned()),
        }
        match answered.recv_timeout(self.deadline) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => {
                error(Kind::TimedOut, format!("no answer within {} ms", self.deadline.as_millis()))
            }
            Err(RecvTimeoutError::Disconnected) => error(Kind::Device, "the library's wrapper panicked".to_owned()),
        }
    }
}

fn work<W>(jobs: &Mutex<Receiver<Job<W>>>, mut worker: W, restart: fn(&mut W)) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if catch_unwind(AssertUnwindSafe(|| job(&mut worker))).is_err() {
            tracing::error!("the wrapper of the token's library panicked; its session is dropped");
            restart(&mut worker);
        }
    }
}

/// A few threads at one token.
pub(crate) struct Workers(Queue<Worker>);

impl Workers {
    pub(crate) fn start(
        login: &Arc<Login>,
        count: usize,
        waiting: usize,
        deadline: Duration,
    ) -> Result<Self, HsmError> {
        let workers = (0..count).map(|_| {
            let login = Arc::clone(login);
            move || Worker { login, session: None, handles: Handles::default() }
        });
        let name = login.wanted.to_string();
        Ok(Self(Queue::start(name, waiting, deadline, workers, Worker::drop_session)?))
    }

    /// Ends the threads, and tells whether all ended in time.
    pub(crate) fn close(self) -> bool {
        self.0.close()
    }

    /// Has an operation done on some session, with a second try on a new one where the first answer is doubtful.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        tried: &'static str,
        mut operation: impl FnMut(&mut Open<'_>) -> Result<T, Fail> + Send + 'static,
    ) -> Result<T, HsmError> {
        self.0.run(tried, move |worker| worker.attempt(tried, &mut operation))
    }
}

/// Handles of objects: good for one generation of logins and one state of the token's objects.
#[derive(Default)]
struct Handles {
    objects: u64,
    keks: HashMap<KekId, Keys<ObjectHandle>>,
    identity: Option<Identity>,
    held: HashMap<HeldId, HeldKey>,
}

struct Worker {
    login: Arc<Login>,
    session: Option<(u64, Held)>,
    handles: Handles,
}

/// A session that is logged in, as an operation sees it.
pub(crate) struct Open<'a> {
    pub(crate) session: &'a Session,
    pub(crate) login: &'a Login,
    /// This is the second try.
    pub(crate) again: bool,
    handles: &'a mut Handles,
}

impl Worker {
    fn drop_session(&mut self) {
        self.session = None;
        self.handles = Handles::default();
    }

    fn attempt<T>(
        &mut self,
        tried: &'static str,
        operation: &mut dyn FnMut(&mut Open<'_>) -> Result<T, Fail>,
    ) -> Result<T, HsmError> {
        let mut stale = None;
        loop {
            let (generation, held) = match self.session.take() {
                Some((generation, held)) if stale.is_none() && generation == self.login.generation() => {
                    (generation, held)
                }
                // Dropped after the new one is open.
                old => {
                    let new = self.login.enter(stale);
                    drop(old);
                    self.handles = Handles::default();
                    new?
                }
            };
            if self.handles.objects != self.login.objects() {
                self.handles = Handles { objects: self.login.objects(), ..Handles::default() };
            }
            let session = held.session().map_err(|error| verdict(tried, "the token", error))?;
            let again = stale.is_some();
            let mut open = Open { session, login: &self.login, again, handles: &mut self.handles };
            let failed = match operation(&mut open) {
                Ok(done) => {
                    self.session = Some((generation, held));
                    return Ok(done);
                }
                Err(failed) => failed,
            };
            let retry = !again && self.is_doubtful(session, &failed);
            self.session = Some((generation, held));
            if !retry {
                return Err(self.judge(tried, failed));
            }
            tracing::warn!(token = %self.login.wanted, tried, ?failed, "a doubtful answer: the session is opened anew");
            stale = Some(generation);
        }
    }

    /// Whether the answer could come from a session that died or was logged out, and a new one could do better.
    fn is_doubtful(&self, session: &Session, failed: &Fail) -> bool {
        match failed {
            Fail::Said(_) => false,
            Fail::Token(error) => may_be_stale(error),
            // An object that was there before, or a session that cannot see it.
            Fail::Absent(label) => self.login.has_seen(label) || !matches!(objects::is_logged_in(session), Ok(true)),
        }
    }

    fn judge(&mut self, tried: &str, failed: Fail) -> HsmError {
        let token = self.login.wanted.to_string();
        match failed {
            Fail::Said(error) => error,
            Fail::Token(error) => {
                // Whatever it was in the middle of, the next call does not begin there.
                self.drop_session();
                verdict(tried, &token, error)
            }
            Fail::Absent(label) if self.login.has_seen(&label) => {
                let detail = format!("it does not show {label} any more, which it did before");
                HsmError::new(Kind::Gone, format!("{tried} at {token}"), detail)
            }
            Fail::Absent(label) => {
                HsmError::new(Kind::Missing, format!("{tried} at {token}"), format!("there is no {label}"))
            }
        }
    }
}

impl Open<'_> {
    /// The handles of a wrapping key; `find` looks them up and examines the key if they are not known.
    pub(crate) fn kek(
        &mut self,
        kek: &KekId,
        find: impl FnOnce(&Self) -> Result<Keys<ObjectHandle>, Fail>,
    ) -> Result<Keys<ObjectHandle>, Fail> {
        if let Some(keys) = self.handles.keks.get(kek) {
            return Ok(*keys);
        }
        let keys = find(self)?;
        self.handles.keks.insert(kek.clone(), keys);
        Ok(keys)
    }

    /// A held key; `find` looks it up and examines it if it is not known.
    pub(crate) fn held(
        &mut self,
        name: &HeldId,
        find: impl FnOnce(&Self) -> Result<HeldKey, Fail>,
    ) -> Result<HeldKey, Fail> {
        if let Some(key) = self.handles.held.get(name) {
            return Ok(*key);
        }
        let key = find(self)?;
        self.handles.held.insert(name.clone(), key);
        Ok(key)
    }

    /// The identity.
    pub(crate) fn identity(&mut self) -> Result<Identity, Fail> {
        if let Some(identity) = self.handles.identity {
            return Ok(identity);
        }
        let identity = objects::identity(self.session)?;
        self.login.saw(objects::IDENTITY);
        self.handles.identity = Some(identity);
        Ok(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(threads: usize, waiting: usize, deadline: Duration) -> Queue<u32> {
        Queue::start("token \"t\"".to_owned(), waiting, deadline, (0..threads).map(|_| || 0), |count| *count = 100)
            .unwrap()
    }

    /// A library that hangs holds up neither who asks nor, for long, who comes after.
    #[test]
    fn a_library_that_hangs_is_not_waited_for_and_a_full_queue_refuses_at_once() {
        let queue = queue(1, 1, Duration::from_millis(50));
        let (release, hang) = sync_channel::<()>(0);
        let hanging = queue.run("hang", move |_| {
            hang.recv().ok();
            Ok(())
        });
        assert_eq!(hanging.unwrap_err().kind(), Kind::TimedOut);
        let waiting = queue.run("wait", |_| Ok(()));
        assert_eq!(waiting.unwrap_err().kind(), Kind::TimedOut);
        let refused = queue.run("come late", |_| Ok(())).unwrap_err();
        assert_eq!(refused.kind(), Kind::Busy);
        assert!(refused.to_string().contains("could not come late at token \"t\""), "{refused}");
        release.send(()).unwrap();
        // Once it comes back, work goes on.
        while queue.run("go on", |_| Ok(())).is_err() {}
    }

    #[test]
    fn a_panic_costs_one_call_and_a_new_session() {
        let queue = queue(1, 8, Duration::from_secs(20));
        let count = |queue: &Queue<u32>| {
            queue.run("count", |count| {
                *count += 1;
                Ok(*count)
            })
        };
        assert_eq!(count(&queue).unwrap(), 1);
        let broken = queue.run("break", |_| -> Result<(), HsmError> { unreachable!("as a wrapper does") });
        assert_eq!(broken.unwrap_err().kind(), Kind::Device);
        assert_eq!(count(&queue).unwrap(), 101, "it began anew");
        assert!(queue.close());
    }
}
