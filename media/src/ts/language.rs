//! Between the codes of ISO 639-2, which descriptors carry, and BCP 47.

/// The language of a descriptor's three letters; `None` for those that say
/// that it is not known, and for what is no code. BCP 47 wants the code of two
/// letters where there is one (RFC 5646, 2.2.1).
pub(super) fn of(code: [u8; 3]) -> Option<String> {
    let code = code.map(|letter| letter.to_ascii_lowercase());
    let text = std::str::from_utf8(&code).ok()?;
    if !code.iter().all(u8::is_ascii_lowercase) || matches!(text, "und" | "mis" | "zxx") {
        return None;
    }
    let short = TWO_LETTERS.split_ascii_whitespace().find_map(|entry| {
        let (short, long) = entry.split_at_checked(2)?;
        (long == text).then_some(short)
    });
    Some(short.unwrap_or(text).to_owned())
}

/// The three letters of a language of BCP 47, for a descriptor: of two codes,
/// that which is for terms; `None` where there is no code.
pub(super) fn code(language: &str) -> Option<[u8; 3]> {
    let primary = language.split('-').next()?.to_ascii_lowercase();
    let code = match primary.len() {
        2 => TWO_LETTERS.split_ascii_whitespace().find_map(|entry| {
            let (short, long) = entry.split_at_checked(2)?;
            (short == primary).then_some(long)
        })?,
        _ => &primary,
    };
    let code = <[u8; 3]>::try_from(code.as_bytes()).ok()?;
    code.iter().all(u8::is_ascii_lowercase).then_some(code)
}

/// The codes that ISO 639-1 shortens, those for bibliographies included.
const TWO_LETTERS: &str = "
    aaaar ababk aeave afafr akaka amamh anarg arara asasm avava ayaym azaze
    babak bebel bgbul bhbih bibis bmbam bnben bobod botib brbre bsbos
    cacat ceche chcha cocos crcre csces cscze cuchu cvchv cycym cywel
    dadan dedeu deger dvdiv dzdzo eeewe elell elgre eneng eoepo esspa etest eueus eubaq
    fafas faper ffful fifin fjfij fofao frfra frfre fyfry
    gagle gdgla glglg gngrn guguj gvglv hahau heheb hihin hohmo hrhrv hthat huhun hyhye hyarm hzher
    iaina idind ieile igibo iiiii ikipk ioido isisl isice itita iuiku jajpn jvjav
    kakat kageo kgkon kikik kjkua kkkaz klkal kmkhm knkan kokor krkau kskas kukur kvkom kwcor kykir
    lalat lbltz lglug lilim lnlin lolao ltlit lulub lvlav
    mgmlg mhmah mimri mimao mkmkd mkmac mlmal mnmon mrmar msmsa msmay mtmlt mymya mybur
    nanau nbnob ndnde nenep ngndo nlnld nldut nnnno nonor nrnbl nvnav nynya
    ococi ojoji omorm orori ososs papan pipli plpol pspus ptpor quque
    rmroh rnrun roron rorum rurus rwkin sasan scsrd sdsnd sesme sgsag sisin skslk skslo slslv smsmo
    snsna sosom sqsqi sqalb srsrp ssssw stsot susun svswe swswa
    tatam tetel tgtgk ththa titir tktuk tltgl tntsn toton trtur tstso tttat twtwi tytah
    uguig ukukr ururd uzuzb veven vivie vovol wawln wowol xhxho yiyid yoyor zazha zhzho zhchi zuzul
";
