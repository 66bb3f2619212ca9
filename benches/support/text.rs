//! Texts that look like conversations: words of English make, used as often as words are used (Zipf's law), the same
//! every time.
//!
//! What a search costs depends on how often a text and its trigrams occur. So the frequencies are those of a language,
//! and the words that the benchmarks look for are planted as often as [`planted`] says, and nowhere else.

/// In most messages.
pub const COMMON: &str = "the";
/// In one of 1,000 messages: too rare for the newest sessions to fill a page, and the most the index is asked for.
pub const SELDOM: &str = "lighthouse";
/// In one of 10,000 messages. All of its trigrams are common ones, so that they alone do not tell where it is.
pub const RARE: &str = "reinstatement";
/// In one of 10,000 messages as well. Some of its trigrams are in no other word.
pub const RARE_TRIGRAMS: &str = "quokka";
/// Once in each of the [`OLD_SESSIONS`] oldest sessions.
pub const ONLY_OLD: &str = "typewriter";
/// In nothing, though all of its trigrams are somewhere.
pub const NOWHERE: &str = "interrogative";
/// Too short for a trigram, and in nothing.
pub const TWO_NOWHERE: &str = "qz";

/// How many sessions have [`ONLY_OLD`].
pub const OLD_SESSIONS: u64 = 2_000;

/// The words that stand for themselves, most frequent first.
const SHORT_WORDS: &str = "the of and to a in is you that it for was on are as with at be this have from or one had by \
    but not what all were we when your can said there use an each which she do how their if will up other about out \
    many then them these so some her would make like him into time has look two more write go see number no way could \
    people my than first been call who its now find long down day did get come made may part over new sound take only \
    little work know place year live me back give most very after thing our just name good sentence man think say great \
    where help through much before line right too mean old any same tell boy follow came want show also around form \
    three small set put end does another well large must big even such because turn here why ask went men read need";

/// What longer words are made of.
const STEMS: &str = "account act add adjust agree air allow amount answer appear apply argu arrange arrive attend avail \
    balance band base bear begin behav believ belong bind blend board border borrow break bright bring broad build burn \
    busi café calcul calm carri cast caus celebr center chang charg check claim class clean clear climb close cloud coast \
    collect color combin comfort command common compar complet comput concern condition confirm connect consid contain \
    continu contrast control convers cook copi correct cost count cover creat cross current custom danger deal debat \
    decid deep defin delay deliver demand depend describ design detail develop differ direct discov discuss distan divid \
    document doubt draft draw dream drive earn east edit educat effect electr employ enabl energi engin enjoy enter equal \
    escap establ estim event exact exampl exchang excit exist expect explain express extend fact fail fair famili farm \
    feel field figur file fill final finish fish flow fold forest forget forward found frame free fresh friend full \
    function garden gather gener gentl glass govern grain grand ground group grow guard guess guid happen hard heat heavi \
    hidden hill histor hold hope hour hous human hundr idea imagin improv includ increas indic industri inform input \
    instruct interest invent island join journey judg jump keep kind kitchen labor land languag laugh lead learn leav \
    letter level librari lift light limit list listen load local lock loss machin mail main manag march mark market \
    matter measur medic member memori mention messag method middl mind minut model modern moment money month morn mount \
    move music narrow nation natur naïve near night nois north note notic object observ occur offer offic open oper opinion \
    order organ orient over owner paint pair paper parent pass past pattern pay perform person phone photo phras pick \
    pictur plan plane plant play point polici popul posit possibl power practic prepar present press pretti prevent \
    print problem process produc project proof protect provid public purpos quarter question quick quiet rain rais \
    random reach real reason receiv record reduc refer region relat releas remain remember remov repeat report request \
    requir research rest result retriev return reveal review rich ring river road rock role roll root round rout rule \
    safe sail sampl scale school scienc season seat second section select send sens separ serv settl shape share sharp \
    shift ship shop short sign silent simpl singl sister situat size sleep slow smooth social soft soil solut song south \
    space speak special speed spend spoken spread spring square stand star start state station stay steel step stick stone \
    store stori straight strang stream street stretch strong structur student studi style subject suggest suit summer \
    suppli support surfac surpris symbol system tabl talk target task teach team tempt tend test thank theori thick thought \
    thousand thread tone tool total touch town track trade train travel tree trip troubl true trust type über under unit \
    updat valley valu vari version view villag visit voic wait walk wall warm wash watch water weather week weight west \
    wheel whole wide wild window winter wish wonder wood word world worth yard young";

const ENDINGS: [&str; 24] = [
    "", "s", "ed", "ing", "er", "ers", "ly", "ion", "ions", "able", "al", "ment", "ive", "ity", "ness", "ful", "less",
    "ist", "ance", "ous", "ize", "ized", "ation", "ings",
];
const BEGINNINGS: [&str; 10] = ["", "re", "un", "out", "pre", "mis", "non", "sub", "co", "inter"];

/// How many different words there are.
const VOCABULARY: usize = 30_000;

/// How many words a question has, and an answer; each length as likely as the next.
const QUESTION: [u64; 8] = [3, 5, 7, 9, 12, 15, 20, 32];
const ANSWER: [u64; 8] = [8, 15, 25, 35, 45, 60, 80, 130];

/// Numbers that look random and are always the same (SplitMix64): no crate's next version changes the data.
pub struct Numbers(u64);

impl Numbers {
    /// A sequence of its own for each `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xA076_1D64_78BD_642F))
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.any() % bound
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}

/// The words, and how often each is used.
pub struct Vocabulary {
    words: Vec<String>,
    /// For each word the share of all use up to and including it, out of `u64::MAX`.
    shares: Vec<u64>,
}

impl Vocabulary {
    pub fn new() -> Self {
        let mut words: Vec<String> = SHORT_WORDS.split_whitespace().map(str::to_owned).collect();
        let stems: Vec<&str> = STEMS.split_whitespace().collect();
        // Plain forms first, since those are used most.
        let forms = BEGINNINGS.iter().flat_map(|beginning| ENDINGS.iter().map(move |ending| (beginning, ending)));
        let mut numbers = Numbers::new(1);
        for (beginning, ending) in forms {
            let mut made: Vec<String> = stems.iter().map(|stem| format!("{beginning}{stem}{ending}")).collect();
            // In an order that is not the alphabet's.
            made.sort_by_cached_key(|_| numbers.any());
            words.extend(made);
        }
        words.truncate(VOCABULARY);
        let weights: Vec<f64> = (0..words.len()).map(|rank| 1.0 / (rank as f64 + 2.7)).collect();
        let total: f64 = weights.iter().sum();
        let mut sum = 0.0;
        let share = |weight: &f64| {
            sum += weight / total;
            (sum * u64::MAX as f64) as u64
        };
        Self { shares: weights.iter().map(share).collect(), words }
    }

    fn word(&self, numbers: &mut Numbers) -> &str {
        let share = numbers.any();
        let at = self.shares.partition_point(|upto| *upto < share);
        &self.words[at.min(self.words.len() - 1)]
    }

    /// The message number `number` (from 0) of the session number `session`.
    pub fn message(&self, session: u64, number: u64, numbers: &mut Numbers) -> String {
        let length = numbers.one_of(if number.is_multiple_of(2) { &QUESTION } else { &ANSWER });
        let mut planted = planted(session, number);
        let mut text = String::new();
        let mut left_in_sentence = 0;
        for at in 0..length {
            let begins = left_in_sentence == 0;
            if begins {
                left_in_sentence = 6 + numbers.below(12);
                text.push_str(if at == 0 { "" } else { ". " });
            } else {
                text.push_str(if numbers.below(9) == 0 { ", " } else { " " });
            }
            left_in_sentence -= 1;
            let word = if at == length / 2 { planted.pop() } else { None };
            let word = word.unwrap_or_else(|| self.word(numbers));
            match word.chars().next() {
                Some(first) if begins => {
                    text.extend(first.to_uppercase());
                    text.push_str(&word[first.len_utf8()..]);
                }
                _ => text.push_str(word),
            }
        }
        for word in planted {
            text.push(' ');
            text.push_str(word);
        }
        text.push(if number.is_multiple_of(2) { '?' } else { '.' });
        text
    }
}

/// The words planted in a message. The primes keep them from falling into the same messages again and again.
fn planted(session: u64, number: u64) -> Vec<&'static str> {
    let message = session * 1_009 + number;
    let mut words = Vec::new();
    for (word, every, at) in [(SELDOM, 997, 5), (RARE, 9_973, 42), (RARE_TRIGRAMS, 10_007, 77)] {
        if message % every == at {
            words.push(word);
        }
    }
    if session < OLD_SESSIONS && number == 3 {
        words.push(ONLY_OLD);
    }
    words
}
